"""MkDocs hooks: generated pages, and links from the site to files of the repository.

Decides that a link out of `docs/` leads to a copy of that file inside the site (a page where it is
Markdown), so that the site is whole without a network and `--strict` finds every dead link. A link
to a folder, which a site cannot show, stays as its words.
"""

import os
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from scripts.site_reference import PAGES

ROOT = Path(__file__).parents[1]
COPIES = "repository"
_LINK = re.compile(r"(!?\[[^\]]*\])\(([^)\s#]+)(#[^)\s]*)?\)")
_CODE = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages, and every file of the repository that a page links to."""
    for name, write in PAGES.items():
        files.append(File.generated(config, name, content=write()))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "changelog.md", content=changelog))
    waiting = [f"docs/{one.src_uri}" for one in files.documentation_pages() if one.abs_src_path]
    seen = set(waiting)
    while waiting:
        source = waiting.pop()
        for target in _targets(source):
            if target in seen or target.startswith("docs/") or not (ROOT / target).is_file():
                continue
            seen.add(target)
            waiting += [target] if target.endswith(".md") else []
            path = f"{COPIES}/{target}"
            files.append(File.generated(config, path, abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Points links at where their files are in the site."""
    uri = page.file.src_uri
    source = "CHANGELOG.md" if uri == "changelog.md" else f"docs/{uri}"
    if uri.startswith(f"{COPIES}/"):
        source = uri.removeprefix(f"{COPIES}/")

    def mended(link: re.Match[str]) -> str:
        words, target, anchor = link[1], link[2], link[3] or ""
        if "://" in target or target.startswith("mailto:"):
            return link[0]
        there = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if (ROOT / there).is_dir():
            return words.strip("[]")
        place = there.removeprefix("docs/") if there.startswith("docs/") else f"{COPIES}/{there}"
        if there == "CHANGELOG.md":
            place = "changelog.md"
        return f"{words}({os.path.relpath(place, posixpath.dirname(uri) or '.')}{anchor})"

    parts = _CODE.split(markdown)
    return "".join(
        part if number % 2 else _LINK.sub(mended, part) for number, part in enumerate(parts)
    )


def _targets(source: str) -> list[str]:
    text = _CODE.sub("", (ROOT / source).read_text(encoding="utf-8"))
    folder = posixpath.dirname(source)
    return [
        posixpath.normpath(posixpath.join(folder, link[2]))
        for link in _LINK.finditer(text)
        if "://" not in link[2]
    ]
