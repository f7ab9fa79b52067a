"""Rules of the house that no type checker sees: names, paths, the lock file, MLflow's folder."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def tracked() -> list[Path]:
    """Returns the files of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a Git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_the_folder_mlflow_holds_no_python() -> None:
    assert (ROOT / "mlflow").is_dir()
    assert [path for path in (ROOT / "mlflow").rglob("*") if path.suffix in (".py", ".pyi")] == []


def test_no_other_folder_takes_the_name_of_a_library() -> None:
    taken = {
        path.parent
        for path in tracked()
        if path.suffix == ".py" and path.parent.name in ("mlflow", "datasets", "prefect", "docker")
    }
    assert taken == set()


def test_from_the_root_import_mlflow_finds_the_library() -> None:
    code = "import mlflow; assert hasattr(mlflow, 'start_run'); print(mlflow.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert found.returncode == 0, found.stderr
    assert not Path(found.stdout.strip()).is_relative_to(ROOT / "mlflow")


def test_no_file_names_a_place_on_one_machine() -> None:
    """Paths inside container images are fine; where somebody checked this out is not."""
    places = re.compile(rf"{re.escape(str(ROOT))}\b|/home/(?!mlflow\b)\w+/|/roo[t]/|/Users/\w+/")
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        if path != Path(__file__):
            found += [f"{path.relative_to(ROOT)}: {hit}" for hit in places.findall(text)]
    assert found == []


LOCK, IMAGE_LOCK = ROOT / "requirements.lock", ROOT / "deploy/prefect/requirements.lock"


def locked(file: Path = LOCK) -> dict[str, list[tuple[Requirement, int]]]:
    """Returns a lock file's entries by name, each with its number of hashes."""
    entries: dict[str, list[tuple[Requirement, int]]] = {}
    text = file.read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line and not line.lstrip().startswith("#"):
            requirement = Requirement(line.partition(" --hash")[0])
            name = canonicalize_name(requirement.name)
            entries.setdefault(name, []).append((requirement, line.count("--hash=sha256:")))
    return entries


def test_the_lock_file_holds_what_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["s3"],
        *project["dependency-groups"]["dev"],
    ]
    entries, wrong = locked(), []
    for text in wanted:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        versions = [
            next(iter(entry.specifier)).version
            for entry, _ in entries.get(canonicalize_name(requirement.name), ())
            if entry.marker is None or entry.marker.evaluate()
        ]
        if len(versions) != 1 or versions[0] not in requirement.specifier:
            wrong.append(f"{text}: locked {versions}; run make lock")
    assert wrong == []


def test_the_images_lock_file_is_the_projects_without_what_only_tests_need() -> None:
    whole, image = locked(), locked(IMAGE_LOCK)
    assert {name: [str(entry) for entry, _ in image[name]] for name in image} == {
        name: [str(entry) for entry, _ in whole[name]] for name in image
    }
    assert not {"pytest", "playwright", "moto", "mkdocs", "mypy"} & image.keys()


@pytest.mark.parametrize("file", [LOCK, IMAGE_LOCK], ids=["project", "image"])
def test_the_lock_file_pins_each_package_by_version_and_hash_and_names_no_index(
    file: Path,
) -> None:
    entries = [entry for group in locked(file).values() for entry in group]
    assert len(entries) > 100
    for requirement, hashes in entries:
        assert [one.operator for one in requirement.specifier] == ["=="], requirement
        assert hashes > 0, requirement
    assert "://" not in file.read_text()


def test_the_recipe_of_the_tracking_server_asks_for_every_secret_and_holds_none() -> None:
    text = (ROOT / "mlflow/compose.yaml").read_text()
    services = yaml.safe_load(text)["services"]
    assert set(services["mlflow"]["depends_on"]) == {"postgres", "bucket"}
    assert all("healthcheck" in services[name] for name in ("mlflow", "postgres", "objects"))
    assert services["mlflow"]["ports"] == ["127.0.0.1:${MLFLOW_PORT:-5000}:5000"]
    required = set(re.findall(r"\$\{(\w+):\?", text))
    example = dict(
        line.split("=", 1)
        for line in (ROOT / "mlflow/.env.example").read_text().splitlines()
        if line and not line.startswith("#")
    )
    assert {name for name, value in example.items() if not value} == required
    undefaulted = set(re.findall(r"\$\{(\w+)\}", text))
    assert undefaulted <= required
