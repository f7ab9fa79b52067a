"""`assay store …`: keys, publishing, listing, pulling and verifying in the trusted store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.output import print_json, print_line, say

if TYPE_CHECKING:
    from assay.ports import ArtifactStore

app = typer.Typer(no_args_is_help=True, help="The trusted store: signed, immutable versions.")

Model = Annotated[str, typer.Argument(help="The model's name.")]
Version = Annotated[str, typer.Argument(help="The version.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def keygen(
    private: Annotated[Path, typer.Argument(help="Where the private key goes (never in Git).")],
    public: Annotated[Path, typer.Argument(help="Where the public key goes, for trust.yaml.")],
) -> None:
    """Makes a key pair for signing artifacts (EC P-256)."""
    from assay.adapters.signer_model_signing import generate_keypair

    generate_keypair(private, public)
    say(f"private key: {private} (keep it secret); public key: {public} (list it in trust.yaml)")


@app.command()
def publish(
    folder: Annotated[
        Path, typer.Argument(help="The model's files.", exists=True, file_okay=False)
    ],
    model: Model,
    version: Version,
    private_key: Annotated[Path, typer.Option("--key", help="The private key.", exists=True)],
    as_json: AsJson = False,
) -> None:
    """Checks, signs and stores a model folder as an immutable version."""
    ref = _store().publish(folder, model=model, version=version, private_key=private_key)
    if as_json:
        print_json({"model": ref.model, "version": ref.version, "digest": ref.digest})
    else:
        print_line(f"{ref.model} {ref.version} {ref.digest}")


@app.command("list")
def list_versions(model: Model, as_json: AsJson = False) -> None:
    """Lists the versions of a model, oldest first."""
    from assay.errors import ConfigError

    versions = list(_store().versions(model))
    if not versions:
        raise ConfigError(
            f"the store holds no version of {model!r}; expected at least one; correct the name, or "
            "publish one (`assay store publish`)"
        )
    if as_json:
        print_json({"model": model, "versions": versions})
    else:
        print_line("\n".join(versions))


@app.command()
def pull(
    model: Model,
    version: Version,
    destination: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    as_json: AsJson = False,
) -> None:
    """Copies a version to a folder and verifies that very copy."""
    pulled = _store().pull(model, version, destination)
    if as_json:
        print_json({"digest": pulled.ref.digest, "folder": str(pulled.folder)})
    else:
        print_line(f"{pulled.ref.digest} {pulled.folder}")


@app.command()
def verify(model: Model, version: Version, as_json: AsJson = False) -> None:
    """Verifies a version in the store: signature, digests, files and headers."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="assay-verify-") as folder:
        pulled = _store().pull(model, version, Path(folder) / "copy")
        if as_json:
            print_json({"model": model, "version": version, "digest": pulled.ref.digest})
        else:
            print_line(f"{model} {version} is what it claims to be: {pulled.ref.digest}")


def _store() -> "ArtifactStore":
    from flows.settings import from_environment
    from flows.wiring import store_for

    return store_for(from_environment())
