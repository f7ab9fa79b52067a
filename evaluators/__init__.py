"""Evaluators: one a file, whose name is its policy key and the prefix of its metrics.

An evaluator sees cases, answers and measurements; it never talks to a server. To add one, add a
file with one frozen dataclass derived from `evaluators.base.Evaluator`, and name it in
`policy.yaml`; nothing else has to know.
"""
