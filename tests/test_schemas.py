import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from assay.golden_health.rules import HealthRules
from assay.verdict import verdict_bytes
from scripts.write_schemas import FOLDER, as_text, schemas
from tests.judgement_cases import balanced, judged, noisy

ROOT = Path(__file__).parents[1]


def stored(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((FOLDER / f"{name}.schema.json").read_text()))


def test_the_written_schemas_are_current():
    written = {path.name: path.read_text() for path in FOLDER.glob("*.schema.json")}
    assert written == {name: as_text(schema) for name, schema in schemas().items()}, "make docs"


@pytest.mark.parametrize("name", ["policy", "task", "serving"])
def test_the_projects_own_documents_fit_their_schemas(name):
    stored(name).validate(yaml.safe_load((ROOT / f"{name}.yaml").read_text()))


@pytest.mark.parametrize(
    "entry", [{"emotion_f1": {"margn": 0.1}}, {"emotion_f1": {"margin": 2}}, {"emotion_f9": {}}]
)
def test_a_mistake_in_the_policy_is_caught_by_its_schema(entry):
    document = yaml.safe_load((ROOT / "policy.yaml").read_text())
    with pytest.raises(ValidationError):
        stored("policy").validate(document | {"evaluators": entry})


def test_the_golden_sets_own_health_rules_fit_their_schema_and_keep_every_default_but_one():
    document = yaml.safe_load((ROOT / "golden_data" / "health.yaml").read_text())
    stored("golden_health").validate(document)
    rules = HealthRules.model_validate(document).model_dump()
    changed = {name for name, value in HealthRules().model_dump().items() if rules[name] != value}
    assert changed == {"follows_traffic"}, "the comments of the file say so"
    assert set(document) == set(rules), "every rule is named and explained in it"
    for mistake in ({"follows_traffic": ["length"]}, {"most_days": 0}, {"most_day": 3}):
        with pytest.raises(ValidationError):
            stored("golden_health").validate(document | mistake)


def test_every_option_of_every_evaluator_is_described():
    entries = schemas()["policy.schema.json"]["properties"]["evaluators"]["properties"]
    for name, entry in entries.items():
        for option, schema in entry.get("properties", {}).items():
            assert schema.get("description"), f"{name}.{option}"


def test_a_written_verdict_fits_its_schema():
    gold = balanced(60)
    verdict = judged(gold, noisy(gold, 0.8, 1), noisy(gold, 0.7, 2)).verdict
    document = json.loads(verdict_bytes(verdict))
    stored("verdict").validate(document)
    with pytest.raises(ValidationError):
        stored("verdict").validate(document | {"verdict": "maybe"})
