"""The pages are true: diagrams are in step with the code, links lead somewhere, snippets are Python."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shlex
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from typer.main import get_command

import perdure
from perdure.cli.verbs import VERBS
from perdure.testing import FakeProvider, run_agent

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")


def commands_on(page: Path) -> list[str]:
    """What a page tells people to type: lines of shell blocks, and whole commands in back quotes."""
    text = page.read_text("utf-8")
    lines = [line.partition(" #")[0].strip() for block in fences(page, "sh") for line in block.splitlines()]
    quoted = [said for said in re.findall(r"`(perdure [^`\n]+)`", text) if "…" not in said]
    return [line for line in [*lines, *quoted] if line.startswith("perdure ")]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def fences(page: Path, language: str) -> list[str]:
    return [text for kind, text in FENCE.findall(page.read_text("utf-8")) if kind == language]


SNIPPETS = {f"{name_of(page)}:{n}": text for page in PAGES for n, text in enumerate(fences(page, "python"), 1)}


def diagrams() -> ModuleType:
    return module_at(ROOT / "scripts" / "diagrams.py")


def module_at(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_diagrams_are_in_step_with_the_code() -> None:
    drawn = diagrams()
    page = drawn.PAGE.read_text("utf-8")
    assert drawn.redrawn(page) == page


def test_a_move_that_is_missing_from_the_page_is_noticed() -> None:
    drawn = diagrams()
    page = drawn.PAGE.read_text("utf-8")
    behind = page.replace("    dead --> ready: revive\n", "")
    assert behind != page
    assert drawn.redrawn(behind) == page


def test_a_page_that_lost_its_marker_is_noticed() -> None:
    with pytest.raises(SystemExit, match="life-of-a-message"):
        diagrams().redrawn("# Architecture\n")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_inside_the_project_lead_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(page.read_text("utf-8")):
        path, _, anchor = target.partition("#")
        if ":" in path:
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("text", SNIPPETS.values(), ids=SNIPPETS.keys())
def test_python_snippets_compile(text: str) -> None:
    compile(text, "snippet", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("text", SNIPPETS.values(), ids=SNIPPETS.keys())
def test_snippets_import_only_what_is_public_and_there(text: str) -> None:
    doors = {"perdure": perdure, "perdure.testing": importlib.import_module("perdure.testing")}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "perdure":
            assert node.module in doors, "users import from `perdure` and `perdure.testing` alone"
            for alias in node.names:
                assert hasattr(doors[node.module], alias.name), alias.name


def imported(snippet: str, folder: Path) -> ModuleType:
    """A snippet of a page, saved and imported as its reader would."""
    file = folder / "from_a_page.py"
    file.write_text(SNIPPETS[snippet], "utf-8")
    return module_at(file)


async def test_the_agent_on_the_front_page_does_what_the_page_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agent = imported("README.md:1", tmp_path).triage
    provider = FakeProvider(replies=["billing"])
    outcome = await run_agent(agent, {"ticket": "T-17"}, provider=provider, crash_after=2)
    assert outcome.result == {"ticket": "T-17", "team": "billing"}
    assert provider.count == 1, "killed after `choose`, it was asked once all the same"
    assert capsys.readouterr().out.count("T-17 belongs to billing") == 1


async def test_killed_during_assign_it_waits_for_a_person(tmp_path: Path) -> None:
    agent = imported("README.md:1", tmp_path).triage
    outcome = await run_agent(agent, {"ticket": "T-17"}, provider=FakeProvider(replies=["billing"]), crash_during=3)
    assert outcome.state == "waiting"
    assert outcome.wait is not None
    assert outcome.wait.why == "outcome-unknown"


async def test_the_agent_that_waits_on_the_front_page_comes_to_the_same_end_wherever_it_is_killed() -> None:
    @perdure.agent
    async def look_into(run: perdure.Run) -> str:
        return f"{run.body['place']}: fine"

    def pay_back(order: str, findings: list[str], by: str) -> str:
        return f"paid {order}, {len(findings)} findings, approved by {by}"

    names = {"agent": perdure.agent, "Run": perdure.Run, "look_into": look_into, "pay_back": pay_back}
    exec(compile(next(text for text in SNIPPETS.values() if "pay_back" in text), "README.md", "exec"), names)
    told = [("approval", {"by": "ada"})]
    outcome = await run_agent(names["refund"], {"order": "T-17"}, others=[look_into], signals=told, crash_after="every")  # type: ignore[arg-type]
    assert outcome.result == "paid T-17, 2 findings, approved by ada"


async def test_the_agents_of_the_guide_run(tmp_path: Path) -> None:
    triage = imported("docs/guide/agents.md:1", tmp_path).triage
    outcome = await run_agent(triage, {"ticket": "T-17"}, provider=FakeProvider(replies=["Billing."]))
    assert outcome.result == {"ticket": "T-17", "team": "Billing."}
    judge = imported("docs/guide/agents.md:2", tmp_path).judge
    outcome = await run_agent(judge, {"number": "T-1", "text": "…"}, provider=FakeProvider(replies=['{"team": "sales", "urgent": true}']))
    assert outcome.result == {"team": "sales", "urgent": True}
    pay = imported("docs/guide/agents.md:3", tmp_path).pay
    outcome = await run_agent(pay, {"amount": 5}, crash_during=1)
    assert outcome.result.startswith("charged 5 under ")


async def test_the_test_of_the_guide_passes(tmp_path: Path) -> None:
    await imported("docs/guide/testing.md:1", tmp_path).test_a_crash_costs_no_call_twice()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
@pytest.mark.parametrize(("language", "read"), [("json", json.loads), ("toml", tomllib.loads)], ids=["json", "toml"])
def test_data_snippets_parse(page: Path, language: str, read: object) -> None:
    for text in fences(page, language):
        assert callable(read)
        read(text)


COMMANDS = sorted({line for page in PAGES for line in commands_on(page)})


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_on_the_pages_can_be_typed(line: str) -> None:
    """The verb is there, and the subcommand, and every option."""
    _, *words = shlex.split(line)
    verb, *rest = [word for word in words if not word.startswith("-")] or ["--help"]
    if verb == "--help":
        return
    assert verb in VERBS
    command = get_command(importlib.import_module(f"perdure.cli.{verb}").app)
    if verbs := getattr(command, "commands", {}):
        assert rest, f"{verb} wants one of {sorted(verbs)}"
        command = verbs[rest[0]]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {word.split("=")[0] for word in words if word.startswith("--")} <= known


def test_a_command_that_is_not_there_is_noticed() -> None:
    with pytest.raises(AssertionError, match="colour"):
        test_commands_on_the_pages_can_be_typed("perdure messages list --colour")
