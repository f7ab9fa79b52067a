"""`assay store …`: keys, publishing, listing, pulling and verifying in the trusted store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.completion import model_names, version_names
from assay.cli.output import print_json, print_line, say
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.adapters.sealed_store import SealedStore
    from assay.records import ArtifactRef

app = typer.Typer(no_args_is_help=True, help="The trusted store: signed, immutable versions.")

Model = Annotated[str, typer.Argument(help="The model's name.", autocompletion=model_names)]
Version = Annotated[str, typer.Argument(help="The version.", autocompletion=version_names)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
PrivateKey = Annotated[Path, typer.Option("--key", help="The private key.", exists=True)]
Certificate = Annotated[
    Path | None,
    typer.Option(help="Its certificate and intermediates, if an authority vouches.", exists=True),
]


@app.command()
def keygen(
    private: Annotated[
        Path | None, typer.Argument(help="Where the private key goes (never in Git).")
    ] = None,
    public: Annotated[
        Path | None, typer.Argument(help="Where the public key goes, for trust.yaml.")
    ] = None,
    gate: Annotated[
        bool,
        typer.Option(
            "--gate", help="For this gate's verdicts: made where it looks, listed in trust.yaml."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Makes a key pair (EC P-256): for models, for people, or with --gate for this gate.

    Example: assay store keygen --gate
    """
    if gate:
        from flows.gate_key import make_gate_key
        from flows.settings import from_environment

        made = make_gate_key(from_environment(), private, public)
        if as_json:
            print_json({"private": str(made.private), "public": str(made.public)})
        say(f"private key: {made.private} (keep it secret); public key: {made.public}")
        say(f"listed in the trust file: {made.entry}")
        return
    if private is None or public is None:
        raise ConfigError(
            "keygen: found no two files; expected PRIVATE and PUBLIC, or --gate for this gate's own"
        )
    from assay.adapters.signer_model_signing import generate_keypair

    generate_keypair(private, public)
    if as_json:
        print_json({"private": str(private), "public": str(public)})
    say(f"private key: {private} (keep it secret); public key: {public} (list it in trust.yaml)")


@app.command()
def publish(
    folder: Annotated[
        Path, typer.Argument(help="The model's files.", exists=True, file_okay=False)
    ],
    model: Model,
    version: Version,
    private_key: PrivateKey,
    certificate: Certificate = None,
    as_json: AsJson = False,
) -> None:
    """Checks, signs and stores a model folder as an immutable version.

    Example: assay store publish model-folder emotion-demo 1.4.0 --key signing-key.pem
    """
    ref = _store().publish(
        folder, model=model, version=version, private_key=private_key, certificate=certificate
    )
    _print_ref(ref, as_json)


@app.command()
def sign(
    folder: Annotated[
        Path, typer.Argument(help="The model's files.", exists=True, file_okay=False)
    ],
    model: Model,
    version: Version,
    destination: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    private_key: PrivateKey,
    certificate: Certificate = None,
    sequence: Annotated[
        int | None,
        typer.Option(min=1, help="Its place among the publications; else the store is asked."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Checks and signs a model folder without publishing: for a store that others write to.

    Example: assay store sign model-folder emotion-demo 1.4.0 signed --key signing-key.pem
    """
    ref = _store().sign(
        folder,
        destination,
        model=model,
        version=version,
        private_key=private_key,
        certificate=certificate,
        sequence=sequence,
    )
    _print_ref(ref, as_json)


@app.command("list")
def list_versions(model: Model, as_json: AsJson = False) -> None:
    """Lists the versions of a model, oldest first.

    Example: assay store list emotion-demo
    """
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
    """Copies a version to a folder and verifies that very copy.

    Example: assay store pull emotion-demo 1.4.0 emotion-demo-1.4.0
    """
    pulled = _store().pull(model, version, destination)
    if as_json:
        print_json({"digest": pulled.ref.digest, "folder": str(pulled.folder)})
    else:
        print_line(f"{pulled.ref.digest} {pulled.folder}")


@app.command()
def verify(model: Model, version: Version, as_json: AsJson = False) -> None:
    """Verifies a version in the store: signature, digests, files and headers.

    Example: assay store verify emotion-demo 1.4.0
    """
    import tempfile

    from assay.adapters.store_copy import writing
    from assay.adapters.store_staging import staging_folder

    temporary = Path(tempfile.gettempdir())
    with writing(temporary), staging_folder(temporary, ".assay-verify-") as folder:
        pulled = _store().pull(model, version, folder / "copy")
        if as_json:
            print_json({"model": model, "version": version, "digest": pulled.ref.digest})
        else:
            print_line(f"{model} {version} is what it claims to be: {pulled.ref.digest}")


@app.command()
def template(
    file: Annotated[
        Path, typer.Argument(help="The chat template's text.", exists=True, dir_okay=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Shows what a chat template makes of fixed messages, and the entry that allows it.

    Example: assay store template chat_template.jinja
    """
    from assay import digests
    from assay.adapters.template_renderer import render_bounded
    from assay.chat_template_lint import lint
    from assay.chat_template_rendering import renderings_digest
    from assay.documents import read_text

    text = read_text(file)
    lint(text, name=str(file), reviewed=True)
    rendered = render_bounded(text, str(file))
    entry = {
        "sha256": digests.text_sha256(text),
        "rendering_sha256": renderings_digest(rendered),
    }
    if as_json:
        print_json({**entry, "renderings": rendered})
        return
    for number, words in enumerate(rendered, start=1):
        say(f"--- conversation {number}" + (" is refused" if words is None else f"\n{words}"))
    fields = ", ".join(f'{name}: "{value}"' for name, value in entry.items())
    print_line(f"- {{{fields}}}")


def _print_ref(ref: "ArtifactRef", as_json: bool) -> None:
    if as_json:
        print_json({"model": ref.model, "version": ref.version, "digest": ref.digest})
    else:
        print_line(f"{ref.model} {ref.version} {ref.digest}")


def _store() -> "SealedStore":
    from flows.settings import from_environment
    from flows.wiring import store_for

    return store_for(from_environment())
