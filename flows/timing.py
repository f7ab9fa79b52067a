"""The timed load of a gate: how long, how hard, and when it has shown enough.

Decides the plan from the policy's `latency` entry; leaves the order of asking to
`assay.interleaving`, and whether the times settle the matter to the evaluator that will judge them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from assay.asking import golden_questions
from assay.errors import ConfigError
from assay.golden_set import GoldenSet
from assay.interleaving import BlockPlan, Loads, Sender, closed_loop, interleaved_load
from assay.open_loop import OpenLoop, steady_profile
from assay.ports import AskLimits, ChatClient, LoadGenerator, Progress
from assay.records import Role
from evaluators.base import Rules
from evaluators.latency import Latency
from flows.engines import Engines
from flows.request import Documents


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One timed load of the models whose engines are at hand."""

    client: ChatClient
    documents: Documents
    golden: GoldenSet
    run_id: str
    seed: int
    progress: Progress
    generator: LoadGenerator | None = None

    @property
    def latency(self) -> Latency | None:
        """The policy's entry; None where the policy judges no latency."""
        found = (e for e in self.documents.evaluators if isinstance(e, Latency))
        return next(found, None)

    def run(self, engines: Engines, roles: Sequence[Role]) -> Loads:
        """Times the models, until their times decide or the policy's bound is reached.

        Raises:
            InfrastructureError: an engine left a whole block unanswered.
        """
        latency = self.latency
        if latency is None:
            return Loads(samples={})
        send = self._sender(latency)
        loads = interleaved_load(
            send,
            engines,
            roles,
            golden_questions(self.documents.task, self.golden.cases),
            BlockPlan(
                looks=latency.looks,
                per_block=latency.per_block,
                seed=self.seed,
                again=self.documents.policy.noise_floor,
                settle_s=self.documents.profile.settle_s,
            ),
            self.progress,
            enough=lambda loads: latency.settled(
                loads.samples[Role.CANDIDATE],
                loads.samples.get(Role.PRODUCTION),
                self._rules(first_release=Role.PRODUCTION not in roles),
            ),
        )
        if isinstance(send, OpenLoop):
            send.check_lag()
        return loads

    def _sender(self, latency: Latency) -> Sender:
        if latency.arrivals:
            if self.generator is None:
                raise ConfigError(
                    f"evaluators.latency: arrivals is {latency.arrivals!r}, and this gate has no "
                    "load generator; leave arrivals out, or run the gate with one"
                )
            return OpenLoop(
                generator=self.generator,
                profile=steady_profile(latency.arrivals, self.documents.policy.load),
                seed=self.seed,
                run_id=self.run_id,
            )
        limits = AskLimits(
            concurrency=latency.concurrency,
            request_timeout_s=self.documents.profile.request_timeout_s,
        )
        return closed_loop(self.client, limits, self.run_id)

    def _rules(self, *, first_release: bool) -> Rules:
        """The rules of the judgement, but for the seed: that needs every answer.

        It decides nothing but when to stop; the error rate is held whatever decides that.
        """
        policy = self.documents.policy
        return Rules(
            alpha=policy.alpha,
            replicates=policy.replicates,
            stratum=policy.stratum,
            seed=self.seed,
            first_release=first_release,
        )
