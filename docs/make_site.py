"""Turns the guides into a website: `mkdocs build` calls these functions (see mkdocs.yml).

The first page is the README. Files outside of docs/ that a guide links to become pages of their own, so that no link leaves the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\]\(\.\./([^)#]+)")
LINK_OF_README = re.compile(r"\]\((?!\w+:)([^)#]+)")
LANGUAGES = {".py": "python", ".toml": "toml", ".cff": "yaml", ".ini": "ini"}
PICTURES = (".jpg", ".png", ".svg")


def on_files(files: Files, config: Any) -> Files:
    """Add the first page, and a page for each file that a guide links to."""
    index = LINK_OF_README.sub(_of_docs, (ROOT / "README.md").read_text(encoding="utf-8"))
    files.append(File.generated(config, "index.md", content=index))
    texts = [index, *((Path(config["docs_dir"]) / file.src_uri).read_text(encoding="utf-8") for file in _guides(files))]
    for name in sorted({link for text in texts for link in LINK.findall(text)}):
        source, place = ROOT / name, _place(name)
        content = source.read_bytes() if source.suffix in PICTURES else _page(source, name)
        files.append(File.generated(config, place, content=content, inclusion=InclusionLevel.NOT_IN_NAV))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links out of docs/ lead to the pages that were added."""
    if page.file.src_uri.startswith("source/"):
        return markdown
    return LINK.sub(lambda link: f"]({_place(link[1])}", markdown)


def _of_docs(link: re.Match[str]) -> str:
    """A link of the README, as a page in docs/ has it."""
    return f"]({link[1].removeprefix('docs/')}" if link[1].startswith("docs/") else f"](../{link[1]}"


def _guides(files: Files) -> list[File]:
    return [file for file in files if file.src_uri.endswith(".md") and "/" not in file.src_uri and file.abs_src_path]


def _place(name: str) -> str:
    """The place in the site of a file outside of docs/."""
    path = name.rstrip("/")
    return f"source/{path}" if Path(path).suffix in PICTURES else f"source/{path.removesuffix('.md')}.md"


def _page(source: Path, name: str) -> str:
    """A page that shows a file, or lists a folder."""
    title = f"# {name}\n\n"
    if source.is_dir():
        return title + "\n".join(
            f"- `{path.name}`" for path in sorted(source.iterdir()) if not path.name.startswith("__")
        )
    text = source.read_text(encoding="utf-8")
    if source.suffix == ".md":
        return re.sub(r"\[([^\]]*)\]\((?!\w+:)[^)]*\)", r"\1", text)  # its links would lead out of the site
    return f"{title}`````{LANGUAGES.get(source.suffix, 'text')}\n{text}\n`````\n"
