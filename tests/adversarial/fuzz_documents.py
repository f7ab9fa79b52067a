"""Valid documents, one of each kind that is read: what the fuzzing mutates."""

DIGEST = "sha256:" + "ab" * 32
AT = "2026-07-01T12:00:00Z"
CASE = {
    "id": "c-1", "text": "hello", "label": "joy", "lang": "en", "source": "s", "stratum": "core",
    "slices": [], "added_in": "1.0.0", "annotations": [{"annotator": "a", "label": "joy"}],
    "agreement": 0.5,
}  # fmt: skip
PREDICTION = {
    "case_id": "c-1", "label": "joy", "status": "ok", "raw": "joy", "label_logprobs": {"joy": -0.1},
    "ttft_ms": 1.5, "e2e_ms": 2.5, "prompt_tokens": 3, "completion_tokens": 1, "attempts": 1,
    "request_id": "r",
}  # fmt: skip
LATENCY = {
    "block": 0, "case_id": "c-1", "started_s": 0.5, "status": "ok", "error_kind": None,
    "ttft_ms": 1.5, "e2e_ms": 2.5, "prompt_tokens": 3, "completion_tokens": 1, "request_id": "r",
    "intended_s": 0.4,
}  # fmt: skip
REQUEST = {
    "index": 0, "case_id": "c", "request_id": "r", "intended_s": 0.1, "started_s": 0.1,
    "ended_s": 0.5, "status": "ok", "first_token_s": 0.2, "gaps_ms": [1.0, 2.0],
    "prompt_tokens": 3, "completion_tokens": 4,
}  # fmt: skip
TRIVY = {
    "CreatedAt": AT,
    "Metadata": {"ImageID": DIGEST, "RepoDigests": [f"v@{DIGEST}"]},
    "Results": [{"Vulnerabilities": [
        {"VulnerabilityID": "CVE-1", "PkgName": "p", "Severity": "HIGH"}]}],
}  # fmt: skip
GRYPE = {
    "matches": [{"vulnerability": {"id": "CVE-1", "severity": "High", "fix": {"versions": ["1"]}},
                 "artifact": {"name": "p", "version": "1"}}],
    "source": {"target": {"imageID": DIGEST, "manifestDigest": DIGEST, "repoDigests": []}},
    "descriptor": {"timestamp": AT},
}  # fmt: skip
LABEL_STUDIO = [{
    "id": 1, "data": {"case_id": "c-1", "text": "hello"},
    "annotations": [{
        "completed_by": {"id": 1, "email": "x"}, "lead_time": 3.5, "was_cancelled": False,
        "ground_truth": False, "updated_at": AT, "unique_id": "u", "prediction": {"result": []},
        "result": [{"from_name": "emotion", "value": {"choices": ["joy"]}}]}],
}]  # fmt: skip
ARGILLA = [{
    "id": "1", "text": "hello", "emotion.responses": ["joy"], "emotion.responses.users": ["u"],
    "emotion.responses.status": ["submitted"], "emotion.suggestion": "joy", "metadata.case_id": "c",
}]  # fmt: skip
FLAT = [{"case_id": "c-1", "text": "hello", "annotator": "a", "label": "joy", "at": AT,
         "lead_time_s": 3.5}]  # fmt: skip
LEDGER = [
    {"ledger": 1, "salt_id": "s"},
    {"id": "c", "text": "t", "lang": "en", "source": "s", "selection": "random",
     "answers": [{"annotator": "a", "kind": "label", "label": "joy", "at": AT}]},
]  # fmt: skip
METRICS = 'vllm:num_requests_running{a="b"} 1.0\nvllm:prompt_tokens_total 5\n'
COMPOSE = {
    "services": {
        "vllm": {
            "image": "vllm/vllm-openai:v0.6.6",
            "command": ["--model", "x"],
            "ports": ["8000:8000"],
            "volumes": ["./m:/m:ro"],
            "environment": {"HF_TOKEN": "x"},
            "user": "0",
            "cap_drop": ["ALL"],
        }
    }
}
POD = {"kind": "Pod", "spec": {"containers": [{"name": "v", "image": "v:1", "args": ["--host"]}]}}
LOG = [{"number": 1, "previous": "sha256:" + "0" * 64, "at": AT, "who": "x", "what": "verdict",
        "run_id": None, "model": None, "version": None, "digests": {}, "note": ""}]  # fmt: skip
MANIFEST = {"schema_version": 1, "files": {"config.json": {"size": 1, "sha256": "ab" * 32}}}
METADATA = {"model_name": "m", "version": "1", "created_at": AT, "more": {"a": [1]}}
RUN = {
    "run_id": "r", "started_at": AT, "ended_at": AT, "who": "x", "candidate": None,
    "production": None, "engine": None, "digests": {}, "problems": [], "tools": {},
}  # fmt: skip
