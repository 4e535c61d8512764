"""The command frame: how it ends, what it prints where, and that all of it is documented."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from farshore import __version__
from farshore.cli import main
from farshore.cli.apply import prepare
from farshore.cli.console import Console, visible
from farshore.cli.reference import commands, fields, options, pages
from farshore.config.form import FileForm
from farshore.config.load import parse
from farshore.control.preparation import Preparation
from farshore.errors import (
    ConfigError,
    FarshoreError,
    NotSafe,
    OutcomeUnknown,
    Refused,
    StateError,
    UsageError,
)
from farshore.s3.capabilities import Capabilities
from farshore.testing.store.memory import EVERYTHING
from tests.unit.sites import TOML, ManualClock, access_of, config_of, store_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """A frame with one command, `fail`, that raises what a test puts into the list."""
    errors: list[BaseException] = []
    app = typer.Typer(no_args_is_help=True)

    @app.callback()
    def frame() -> None:
        """Only so that `fail` is a command."""

    @app.command()
    def fail(as_json: bool = typer.Option(False, "--json")) -> None:
        raise errors[0]

    monkeypatch.setattr(main, "command_line", lambda _: app)
    yield errors
    assert errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FarshoreError("x"), 1),
        (StateError("x"), 1),
        (UsageError("x"), 2),
        (ConfigError("x"), 2),
        (NotSafe("x"), 4),
        (Refused("x"), 5),
        (OutcomeUnknown("x"), 6),
        (KeyboardInterrupt(), 130),
        (typer.Abort(), 130),
        (typer.Exit(3), 3),
    ],
)
def test_every_end_has_its_exit_code(
    failing: list[BaseException], error: BaseException, code: int
) -> None:
    failing.append(error)
    assert main.run(["fail"]) == code


def test_errors_say_what_happened_and_what_to_do(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(ConfigError("It is bad.", problems=("line 1: a", "line 2: b"), hint="Mend it."))
    main.run(["fail"])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "farshore: It is bad.\n  line 1: a\n  line 2: b\nhint: Mend it.\n"


def test_json_errors_are_one_document_on_standard_output(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(ConfigError("It is bad.", problems=("line 1: a",), hint="Mend it."))
    assert main.run(["fail", "--json"]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {
        "error": {
            "kind": "Config",
            "message": "It is bad.",
            "hint": "Mend it.",
            "problems": ["line 1: a"],
            "exit_code": 2,
        }
    }
    assert captured.err == ""


def test_a_defect_is_shown_whole(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(ZeroDivisionError("in the depth"))
    assert main.run(["fail", "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["kind"] == "Defect"
    assert "file a bug" in captured.err
    assert "Traceback" in captured.err
    assert "ZeroDivisionError: in the depth" in captured.err


WRONG_USAGE = [
    ["nonsense"],
    ["apply", "--nonsense"],
    ["--config"],
    ["backfill", "--deletes-share", "7"],
    ["backfill", "--deletes-free", "-1"],
]


@pytest.mark.parametrize("words", WRONG_USAGE)
def test_wrong_usage_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(words) == 2
    assert "--help" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["audit"], ["divergent"]])
def test_a_command_that_needs_another_says_so(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(words) == 2
    captured = capsys.readouterr()
    assert "Commands" in captured.out
    assert captured.err.startswith("farshore: No command was named: the help lists them.\n")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out == f"farshore {__version__}\n"


def test_text_of_others_cannot_move_the_cursor() -> None:
    assert visible("a\x1b[2Jb\nc\u202e") == "a\\x1b[2Jb\nc\\u202e"
    assert visible("grüße") == "grüße"


def test_tables_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    Console().table(("a", "long"), [("wide", 1), ("x", "\x07")])
    assert capsys.readouterr().out == "a     long\nwide  1\nx     \\x07\n"


# -- help is quick ---------------------------------------------------------------


def test_help_imports_nothing_heavy() -> None:
    """The time itself depends on the machine; what is imported does not."""
    program = (
        "import sys; from farshore.cli.main import run; run(['--help']); "
        "print([m for m in ('botocore', 'aiobotocore', 'boto3', 'pydantic', 'httptools') "
        "if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.strip() == "[]"
    assert "apply" in done.stdout


@pytest.mark.parametrize(
    ("words", "called"),
    [
        (["status", "--json"], ["status"]),
        (["--config", "verify", "status"], ["status"]),
        (["--config=verify", "lab", "up"], ["lab"]),
        (["--config"], list(main.COMMANDS)),
        (["--help"], list(main.COMMANDS)),
        (["stats"], list(main.COMMANDS)),
        (["runbook"], list(main.COMMANDS)),
        ([], list(main.COMMANDS)),
    ],
)
def test_only_the_called_command_is_loaded(words: list[str], called: list[str]) -> None:
    assert list(main.wanted(words)) == called


def test_the_modules_of_other_commands_stay_away() -> None:
    program = (
        "import sys; from farshore.cli.main import run; run(['runs', '--help']); "
        "print([m for m in ('status', 'verify', 'lab') if f'farshore.cli.{m}' in sys.modules], "
        "file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.strip() == "[]"


# -- config ----------------------------------------------------------------------


def test_config_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "farshore.toml"
    file.write_text(TOML)
    assert main.run(["--config", str(file), "config", "check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["buckets"] == [["files", "files"]]
    file.write_text(TOML + "typo = 1\n")
    assert main.run(["--config", str(file), "config", "check"]) == 2
    assert "line 18: pair.buckets[0].typo" in capsys.readouterr().err


def test_config_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "farshore.toml"


# -- init ------------------------------------------------------------------------

INIT = ["init", "--source", "east=http://127.0.0.1:8333", "--no-try"]
INIT += ["--target", "west=http://127.0.0.1:8334", "--bucket", "files", "--bucket", "p-*=q-*"]


def test_init_writes_a_file_that_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "farshore.toml"
    words = ["--config", str(file), *INIT, "--keys", 'west.app=command:print "x" \\']
    assert main.run([*words, "--target-region", "eu-1"]) == 2  # the quote is not closed
    assert not file.exists()
    words[-1] = 'west.app=command:print "x y"'
    assert main.run([*words, "--target-region", "eu-1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(file)
    config = parse(file.read_text(), file)
    assert config.target.region == "eu-1"
    assert config.resolve_buckets(["p-1"]) == [("files", "files"), ("p-1", "q-1")]
    assert config.source.credentials["operator"].value == "FARSHORE_EAST_OPERATOR"
    assert config.target.credentials["app"].value == 'print "x y"'
    assert "app" not in config.source.credentials
    assert config.pair.name == "east-west"
    assert main.run([*words, "--force", "--pair", "photos"]) == 0
    assert parse(file.read_text(), file).pair.name == "photos"
    assert list(tmp_path.iterdir()) == [file]


def test_init_never_replaces_a_file_unasked(tmp_path: Path) -> None:
    file = tmp_path / "farshore.toml"
    file.write_text("mine")
    assert main.run(["--config", str(file), *INIT]) == 2
    assert file.read_text() == "mine"
    assert main.run(["--config", str(file), *INIT, "--force"]) == 0


@pytest.mark.parametrize(
    "keys", ["east.operator=AKIASECRET", "AKIASECRET", "north.app=env:X", "east.root=env:X"]
)
def test_init_refuses_other_keys_and_does_not_repeat_them(
    keys: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "farshore.toml"
    assert main.run(["--config", str(file), *INIT, "--keys", keys]) == 2
    captured = capsys.readouterr()
    assert "AKIASECRET" not in captured.err + captured.out
    assert not file.exists()


def test_init_without_a_terminal_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["--config", str(tmp_path / "f"), "init", "--json"]) == 2
    assert "nobody to ask" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_init_tries_the_credentials_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "farshore.toml"
    words = [word for word in INIT if word != "--no-try"]
    words += ["--keys", "east.operator=env:FARSHORE_TEST_UNSET"]
    assert main.run(["--config", str(file), *words]) == 2
    assert "FARSHORE_TEST_UNSET_ACCESS_KEY_ID" in capsys.readouterr().err
    assert not file.exists()


# -- apply -----------------------------------------------------------------------


class Answers(Console):
    """A console whose person says what the test says."""

    def __init__(self, answer: bool) -> None:
        super().__init__()
        self._answer = answer
        self.asked = 0

    def ask(self, question: str) -> bool:
        self.asked += 1
        return self._answer


async def preparation() -> Preparation:
    async def probe(_: object) -> Capabilities:
        return EVERYTHING

    clock, config = ManualClock(), config_of()
    east, west = store_of("east", clock), store_of("west", clock)
    await east.create_bucket("files")
    source, target = access_of(config, east), access_of(config, west)
    return await Preparation.begin(config, source, target, probe=probe, clock=clock)


async def applied(made: Preparation, console: Console, **flags: bool) -> dict[str, Any]:
    return await prepare(made, console, **{"dry_run": False, "yes": False, **flags})


async def test_apply_shows_asks_and_does(capsys: pytest.CaptureFixture[str]) -> None:
    made, console = await preparation(), Answers(True)
    document = await applied(made, console)
    told = capsys.readouterr().out
    assert "+  west  bucket files" in told
    assert "off -> on" in told
    assert "9 changes made; 6 proofs hold: both sites are ready." in told
    assert (document["applied"], len(document["changes"])) == (True, 9)
    again = await applied(made, console)
    assert "nothing to do; 6 proofs hold" in capsys.readouterr().out
    assert again["changes"] == []
    assert console.asked == 1


async def test_apply_declined_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    made = await preparation()
    with pytest.raises(FarshoreError, match="Declined: nothing was changed"):
        await applied(made, Answers(False))
    assert len((await made.plan()).changes) == 9


async def test_a_dry_run_changes_nothing_and_asks_nobody() -> None:
    made, console = await preparation(), Answers(True)
    document = await applied(made, console, dry_run=True)
    assert (document["applied"], len(document["changes"]), console.asked) == (False, 9, 0)
    assert len((await made.plan()).changes) == 9


def test_apply_without_a_person_wants_yes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["--config", str(tmp_path / "none"), "apply", "--json"]) == 2
    assert "--yes" in json.loads(capsys.readouterr().out)["error"]["hint"]


# -- presign ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["get", "a", "--expires", "8d"],
        ["get", "a", "--expires", "0s"],
        ["get", "a", "--expires", "x"],
        ["delete", "a"],
        ["get", "a", "--as", "root"],
        ["get", "a", "--site", "north"],
    ],
)
def test_presign_refuses_what_s3_would(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "farshore.toml"
    file.write_text(TOML)
    assert main.run(["--config", str(file), "presign", *words]) == 2
    assert "farshore: " in capsys.readouterr().err


def test_presign_prints_a_url(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "farshore.toml"
    file.write_text(TOML)
    monkeypatch.setenv("WEST_APP_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("WEST_APP_SECRET_ACCESS_KEY", "s3cr3t")
    words = ["--config", str(file), "presign", "get", "a b", "--site", "west", "--expires", "1h"]
    assert main.run(words) == 0
    url = capsys.readouterr().out.strip()
    assert url.startswith("http://127.0.0.1:8334/files/a%20b?")
    assert "X-Amz-Expires=3600" in url
    assert "s3cr3t" not in url


# -- everything is documented ----------------------------------------------------


def test_every_command_and_option_has_words() -> None:
    seen = 0
    for name, command in commands():
        assert command.help, f"{name} has no help"
        for option in options(command):
            seen += 1
            assert option.help, f"{name} {option.name} has no help"
    assert seen > 10


def test_every_config_key_has_words() -> None:
    for path, form in fields(FileForm):
        assert form.__doc__, f"{path} has no description"
        for key, field in form.model_fields.items():
            assert field.description, f"{path}.{key} has no description"


@pytest.mark.parametrize("page", ["cli.md", "configuration.md"])
def test_the_reference_is_up_to_date(page: str) -> None:
    written = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert written == pages()[page], "run: python -m farshore.cli.reference"
