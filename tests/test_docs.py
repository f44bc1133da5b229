"""The documentation is up to date: tables, links, paths, reference and citation. See also test_snippets.py."""

from __future__ import annotations

import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

from harness import __version__, hookspecs
from harness.cli import COMMANDS, main
from harness.conformance import RULES
from harness.report.summary import Report
from harness.running.store import Store

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
TABLES = [("README.md", ["digits"]), ("docs/results.md", ["digits", "cifar10", "cats-vs-dogs", "unlike", "attacks"])]
"""Pages with tables of stored runs, and the runs in the order of the page."""

LONGEST, HEAVIEST = 160, 200_000
"""Lines of the README, and bytes of a picture in docs/."""


def script(name: str) -> ModuleType:
    """A script of docs/, imported."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text_of(name: str) -> str:
    return (DOCS / f"{name}.md").read_text()


def test_the_readme_is_short_and_shows_a_table_a_picture_and_two_commands():
    assert len(README.splitlines()) <= LONGEST
    assert re.search(r"!\[[^\]]+\]\(docs/\w+\.(svg|png)\)", README)
    assert "table" in README and README.count("python -m venv .venv") == 2
    assert all(path.stat().st_size < HEAVIEST for path in DOCS.iterdir() if path.suffix in (".svg", ".png", ".jpg"))


def test_the_reference_is_up_to_date():
    message = "the reference is old: run python docs/make_reference.py"
    assert text_of("reference") == script("make_reference").reference(), message


def test_every_option_has_a_meaning():
    assert not re.findall(r"^.*\| *\|$", text_of("reference"), re.MULTILINE)


def test_the_reference_has_every_command_option_and_hook():
    text = text_of("reference")
    for name in COMMANDS:
        assert f"#### `samebench {name}`" in text
        for parameter in main.get_command(None, name).params:
            assert parameter.param_type_name == "argument" or all(option in text for option in parameter.opts)
    for name, hook in vars(hookspecs).items():
        if name.startswith("samebench_"):
            assert f"`{name}{inspect.signature(hook).replace(return_annotation=inspect.Signature.empty)}`" in text
            assert hook.__doc__


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_options_that_a_page_names_exist(page):
    """This includes options in sentences, which the test of the snippets does not cover."""
    known = set(re.findall(r"`(--[a-z][a-z-]*)|, (--[a-z][a-z-]*)", text_of("reference")))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", re.sub(r"<!--.*?-->", "", page.read_text())))
    assert named <= {option for pair in known for option in pair} | {"--help"}


def test_the_picture_is_drawn_from_the_stored_cells():
    drawn = script("make_picture").picture()
    assert (DOCS / "digits.svg").read_text() == drawn, "the picture is old: run python docs/make_picture.py"
    speeds = [f"{row['images_per_s']['median']:,.0f}" for row in Report.of(Store.open(ROOT / "results/digits")).summary]
    assert len(speeds) == 3 and all(f">{speed}<" in drawn for speed in speeds)


def test_the_number_of_rules_is_right():
    assert f"{len(RULES)} rules" in text_of("sameness")
    assert f"{len(RULES)} rules" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        file, _, anchor = link.partition("#")
        target = (page.parent / file) if file else page
        assert "://" in link or target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings], link


def test_every_page_can_be_reached_from_the_readme():
    linked = {Path(link).name for link in re.findall(r"\]\((docs/[^)#]+\.md)\)", README)}
    assert linked == {page.name for page in DOCS.glob("*.md")}


def test_every_path_of_the_architecture_exists():
    paths = [path for path in re.findall(r"`([^`\s]+)`", text_of("architecture")) if "/" in path or "." in path]
    own = [path for path in paths if not path.startswith(("RUN/", "harness.", "--"))]
    assert len(own) > 40
    for path in own:
        assert (ROOT / path).exists(), path
    assert len(text_of("architecture").splitlines()) <= 90, "the architecture is a single page"


def test_ci_runs_the_command_of_the_readme():
    command = next(line for line in README.splitlines() if line.endswith(".venv/bin/tox"))
    assert command in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_table_of_a_page_is_as_it_is_printed(page):
    tables, text = script("make_tables"), page.read_text()
    assert len(tables.commands_in(text)) == len(re.findall(r"<!-- (?:all|first \d+ tables): samebench", text))
    assert tables.refreshed(text) == text, "the tables are old: run python docs/make_tables.py"


@pytest.mark.parametrize(("page", "runs"), TABLES, ids=["README", "results"])
def test_the_pages_with_results_show_all_runs(page, runs):
    commands = script("make_tables").commands_in((ROOT / page).read_text())
    assert [word for command in commands for word in command.split() if word.startswith("results/")] == [
        f"results/{name}" for name in runs
    ]


def test_the_citation_names_this_version_and_has_what_the_format_requires():
    """CFF 1.2.0 requires four fields. The file has one level of lists, which needs no parser of YAML."""
    text = (ROOT / "CITATION.cff").read_text()
    entries = dict(re.findall(r"^([a-z-]+): ?(.*)$", text, re.MULTILINE))
    assert entries["cff-version"] == "1.2.0" and entries["version"] == __version__
    assert entries["license"] == "Apache-2.0" and entries["type"] == "software"
    assert entries["message"] and entries["title"] == "samebench"
    assert re.search(r"^authors:\n  - name: \S", text, re.MULTILINE)
    known = {"cff-version", "message", "title", "abstract", "type", "authors", "version", "license", "keywords"}
    assert set(entries) <= known


def test_editors_and_type_checkers_see_the_public_names():
    import harness

    text = Path(harness.__file__).read_text()
    assert set(re.findall(r"import (\w+) as \1", text)) == set(harness.__all__)
    assert all(getattr(harness, name) is not None for name in harness.__all__)
