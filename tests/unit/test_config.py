"""farshore.toml: what is accepted, what every problem says, and that no secret is repeated."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from farshore.config import BucketMap, Config, Notify
from farshore.config.doubts import doubts
from farshore.config.form import schema
from farshore.config.load import load, parse
from farshore.config.locate import Lines
from farshore.config.quantity import duration_seconds, size_bytes, size_text
from farshore.core.rules import Rule
from farshore.core.verdict import Objectives
from farshore.errors import ConfigError
from tests.unit.sites import TOML

HERE = Path("/nowhere/farshore.toml")


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(text, HERE)
    assert caught.value.exit_code == 2
    return caught.value.problems


def swapped(old: str, new: str) -> str:
    assert old in TOML
    return TOML.replace(old, new)


def config(text: str = TOML) -> Config:
    return parse(text, HERE)


def test_a_small_file_has_every_default() -> None:
    read = config()
    assert read.source.name == "east"
    assert read.target.endpoint == "http://127.0.0.1:8334"
    assert read.source.region == "us-east-1"
    assert read.target.control_bucket == "farshore-control"
    assert read.pair.buckets == (BucketMap("files", "files"),)
    assert read.pair.rules == ()
    assert read.limits.memory_bytes == 256 * 2**20
    assert read.limits.concurrency_max == 256
    assert read.state_dir == Path("/nowhere/.farshore")
    assert read.objectives == Objectives(60.0, 7 * 86400.0, 86400.0)
    assert read.notify == ()


@pytest.mark.parametrize("name", ["ab", "a..b", ".ab", "ab-", "-ab", "10.0.0.1", "a b", "ä" * 4])
def test_a_bucket_s_name_that_no_server_takes(name: str) -> None:
    (problem,) = problems(TOML.replace('source = "files"', f'source = "{name}"'))
    assert problem.startswith("line 17: pair.buckets[0].source: ")
    (problem,) = problems(TOML + f'target = "{name}"\n')
    assert problem.startswith("line 18: pair.buckets[0].target: ")


def test_a_pattern_may_be_short_and_end_as_a_name_does() -> None:
    for name in ("*", "p-*", "*.log"):
        config(TOML.replace('source = "files"', f'source = "{name}"'))
    assert problems(TOML.replace('source = "files"', 'source = "-p*"'))


def test_capitals_are_doubtful_and_no_error() -> None:
    assert list(doubts(config())) == []
    found = list(doubts(config(TOML.replace("files", "Files") + 'target = "my_files"\n')))
    assert [sentence.split(" at ")[0] for sentence in found] == [
        'The bucket "Files"',
        'The bucket "my_files"',
    ]


def test_a_pair_is_called_after_its_sites_unless_it_has_a_name() -> None:
    assert config().pair.name == "east-west"
    assert config(swapped("[pair]", '[pair]\nname = "photos-2"')).pair.name == "photos-2"
    for wrong in ("", "Photos", "a/b", "a_b", "x" * 66):
        (problem,) = problems(swapped("[pair]", f'[pair]\nname = "{wrong}"'))
        assert problem == (
            "line 14: pair.name: write a short name: a-z, 0-9 and dashes, 65 at most"
        )


def test_the_scope_is_of_the_buckets_and_the_rules() -> None:
    here = config().pair.scope
    assert here == config(swapped("[pair]", '[pair]\nname = "other"')).pair.scope
    assert here == config(swapped("8333", "9333")).pair.scope
    others = [
        TOML + 'target = "copies"\n',
        TOML + '[[pair.buckets]]\nsource = "more"\n',
        TOML + '[[pair.rules]]\nprefix = "a/"\n',
        TOML + '[[pair.rules]]\nprefix = "a/"\nexclude = true\n',
    ]
    assert len({here, *(config(text).pair.scope for text in others)}) == 5


def test_everything_can_be_said() -> None:
    text = swapped(
        'endpoint = "http://127.0.0.1:8333"',
        'endpoint = "https://S3.example.net/"\n'
        'region = "eu-1"\nfiler = "http://10.0.0.1:8888"\n'
        'filer_grpc = "10.0.0.1:18888"\nca_file = "ca.pem"',
    )
    text += """target = "copies"
[[pair.rules]]
prefix = "logs/"
tags = { team = "a", b = "c" }
delete_markers = "after 7d"
priority = 3
[[pair.rules]]
exclude = true
[limits]
requests_per_s = 50
bytes_per_s = "200 MiB"
memory = 33554432
[objectives]
rpo = "5m"
verify_max_age = "30d"
scan_max_age = "12h"
doctor_max_age = "2d"
[[notify]]
url = { env = "PAGER_URL" }
[[notify]]
url = { env = "CHANNEL_URL" }
voice = "gentle"
[state]
dir = "cache"
"""
    read = config(text)
    assert read.source.endpoint == "https://S3.example.net"
    assert read.source.filer == "http://10.0.0.1:8888"
    assert (read.source.filer_grpc, read.target.filer_grpc) == ("10.0.0.1:18888", "")
    assert read.source.ca_file == Path("/nowhere/ca.pem")
    assert read.pair.rules[0] == Rule(
        prefix="logs/",
        tags=(("b", "c"), ("team", "a")),
        delete_markers="after",
        delay_s=7 * 86400.0,
        priority=3,
    )
    assert read.pair.rules[1].exclude
    assert read.source.pace.rates == read.target.pace.rates == (50.0, 200 * 2**20)
    assert read.limits.memory_bytes == 32 * 2**20
    assert read.state_dir == Path("/nowhere/cache")
    assert read.objectives == Objectives(300.0, 30 * 86400.0, 43200.0, 2 * 86400.0)
    assert read.notify == (Notify("PAGER_URL", "loud"), Notify("CHANNEL_URL", "gentle"))


def test_every_problem_is_listed_at_once_with_its_line() -> None:
    text = """\
[sites.east]
endpoint = "ftp://files"
regon = "x"
[sites.east.credentials]
operator = { env = "A", profile = "b" }
replicator = {}
[sites.West]
endpoint = 8333
[pair]
source = "east"
target = "wst"
[[pair.buckets]]
source = "logs-*"
target = "copies"
[[pair.rules]]
delete_markers = "sometimes"
[[pair.rules]]
priorty = 1
[limits]
memory = "1 MiB"
"""
    found = problems(text)
    expected = [
        "line 2: sites.east.endpoint: write a URL",
        'line 3: sites.east.regon: there is no such key; did you mean "region"?',
        "line 5: sites.east.credentials.operator: has env and profile; write exactly one",
        "line 6: sites.east.credentials.replicator: is empty; write exactly one",
        "line 7: sites.West: a site's name is",
        "line 7: sites.West.credentials: is missing",
        "line 8: sites.West.endpoint: write text in quotes",
        "line 11: pair.target: there is no such site; known: east, West",
        "line 12: pair.buckets[0]: a pattern needs one * on both sides",
        'line 16: pair.rules[0].delete_markers: write "replicate", "never" or "after 7d"',
        'line 18: pair.rules[1].priorty: there is no such key; did you mean "priority"?',
        "line 20: limits.memory: write 16777216 or more",
    ]
    assert len(found) == len(expected)
    for sentence, start in zip(found, expected, strict=True):
        assert sentence.startswith(start)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('target = "west"', 'target = "east"', "must be another site than pair.source"),
        ('source = "files"', 'source = "farshore-control"', "cannot be replicated"),
        ('source = "files"', 'source = "a**"', "write one * at most"),
        ('source = "files"', 'source = "a/b"', "letters, digits, dots and dashes"),
        ('endpoint = "http://127.0.0.1:8333"', 'endpoint = "http://h:8333/x"', "no path"),
        ('endpoint = "http://127.0.0.1:8333"', 'endpoint = "http://h:x"', "port must be"),
        ("[sites.east]", '[sites.east]\nfiler_grpc = "http://h:1"', "write host:port"),
        ("[sites.east]", '[sites.east]\nfiler_grpc = "h"', "write host:port"),
        ("[sites.east]", '[sites.east]\nfiler_grpc = "h:99999"', "write host:port"),
        ("[sites.east]", '[sites.east]\nfiler_grpc = "u:p@h:1"', "write host:port"),
        ('operator = { env = "EAST_OPERATOR" }\n', "", "operator: is missing"),
        ('{ env = "EAST" }', '{ env = "$EAST" }', "first part of the variables' names"),
        ('{ env = "EAST" }', '{ command = "a \'" }', "a quote is not closed"),
        ("[pair]", "[pair]\nbuckets = []", "not TOML"),
    ],
)
def test_single_problems_say_what_to_write(old: str, new: str, words: str) -> None:
    (sentence,) = problems(swapped(old, new))
    assert words in sentence


def test_the_same_bucket_at_the_same_endpoint_is_refused() -> None:
    text = swapped("http://127.0.0.1:8334", "http://LOCALHOST:8333/")
    same, control = sorted(problems(text), reverse=True)
    assert "line 6: sites.west: both sites have one endpoint" not in same
    assert "the same bucket at the same endpoint" in same + control
    assert "two control buckets" in same + control


def test_one_endpoint_with_other_names_is_allowed() -> None:
    text = swapped("http://127.0.0.1:8334", "http://127.0.0.1:8333")
    text = text.replace("[sites.west]\n", '[sites.west]\ncontrol_bucket = "control-2"\n')
    read = config(text + 'target = "copies"\n')
    assert read.target.control_bucket == "control-2"


SECRET = "wJalrXUtnFEMI"


@pytest.mark.parametrize(
    "new",
    [
        f'{{ access_key_id = "AKIDX", secret_access_key = "{SECRET}" }}',
        f'{{ secret_key = "{SECRET}" }}',
        f'{{ env = "EAST", aws_secret_access_key = "{SECRET}" }}',
        f'{{ command = "echo SecretAccessKey {SECRET}" }}',
        f'{{ secret = {{ deep = "{SECRET}" }} }}',
        f'"{SECRET}"',
    ],
)
def test_keys_in_the_file_are_refused_and_never_repeated(new: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(swapped('{ env = "EAST" }', new), HERE)
    told = repr(caught.value) + str(caught.value) + caught.value.hint + str(caught.value.problems)
    assert SECRET not in told
    assert "AKIDX" not in told
    assert all("line 5" in problem for problem in caught.value.problems)


def test_typed_keys_get_the_form_to_write_instead() -> None:
    found = problems(swapped('{ env = "EAST" }', f'{{ secret_key = "{SECRET}" }}'))
    assert 'replicator = { env = "FARSHORE_EAST_REPLICATOR" }' in found[0]
    assert len(found) == 1


def test_a_password_in_an_url_is_not_repeated() -> None:
    (sentence,) = problems(swapped("http://127.0.0.1:8333", f"http://me:{SECRET}@h:1"))
    assert "user and password out of the URL" in sentence
    assert SECRET not in sentence


def test_toml_that_cannot_be_read_names_its_line() -> None:
    (sentence,) = problems('[pair]\nsource = "east\n')
    assert sentence.startswith("line 2: not TOML: ")
    (at_end,) = problems("[pair]\nsource = [")
    assert at_end.startswith("line 2: not TOML: ")


def test_a_missing_or_unreadable_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no file") as caught:
        load(tmp_path / "farshore.toml")
    assert "farshore init" in caught.value.hint
    bad = tmp_path / "latin.toml"
    bad.write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(ConfigError) as caught:
        load(bad)
    assert caught.value.problems == ("line 2: not UTF-8 text; save the file as UTF-8",)


# -- buckets ---------------------------------------------------------------------


def mapped(buckets: str, names: list[str]) -> list[tuple[str, str]]:
    return config(swapped('[[pair.buckets]]\nsource = "files"\n', buckets)).resolve_buckets(names)


def test_patterns_carry_their_text_over() -> None:
    entries = '[[pair.buckets]]\nsource = "prod-*"\ntarget = "dr-*-x"\n'
    assert mapped(entries, ["prod-", "prod-a", "other", "prod"]) == [
        ("prod-", "dr--x"),
        ("prod-a", "dr-a-x"),
    ]


def test_a_pattern_needs_both_of_its_ends() -> None:
    entries = '[[pair.buckets]]\nsource = "ab*ba"\n'
    assert mapped(entries, ["aba", "abba", "abxba"]) == [("abba", "abba"), ("abxba", "abxba")]


def test_a_name_beats_a_pattern_and_the_first_pattern_wins() -> None:
    entries = (
        '[[pair.buckets]]\nsource = "a*"\ntarget = "one-*"\n'
        '[[pair.buckets]]\nsource = "*"\ntarget = "two-*"\n'
        '[[pair.buckets]]\nsource = "abc"\ntarget = "three"\n'
    )
    assert mapped(entries, ["abc", "ac", "b", "farshore-control"]) == [
        ("abc", "three"),
        ("ac", "one-c"),
        ("b", "two-b"),
    ]


def test_a_named_bucket_is_meant_whether_it_exists_or_not() -> None:
    assert config().resolve_buckets([]) == [("files", "files")]


def test_two_buckets_may_not_share_a_target() -> None:
    entries = (
        '[[pair.buckets]]\nsource = "a-*"\ntarget = "x-*"\n'
        '[[pair.buckets]]\nsource = "b-*"\ntarget = "x*"\n'
    )
    with pytest.raises(ConfigError) as caught:
        mapped(entries, ["a-1", "b--1"])
    assert 'a-1 and b--1 would both go to "x-1"' in caught.value.problems[0]


def test_no_replica_goes_into_the_control_bucket() -> None:
    with pytest.raises(ConfigError) as caught:
        mapped('[[pair.buckets]]\nsource = "*"\ntarget = "farshore-*"\n', ["control"])
    assert "is the control bucket" in caught.value.problems[0]


# -- lines, amounts, schema ------------------------------------------------------


def test_lines_of_every_kind_of_statement() -> None:
    text = '''\
# a comment
[a."b.c"] # another
x.y = 1
long = """
[not.a.table]
z = 1
"""
list = [
  1, # [no]
]
[[a.rows]]
q = 1
[a.rows.sub]
q = 2
  [[a.rows]]
  q = 3
'''
    lines = Lines(text)
    assert lines.line(("a", "b.c")) == 2
    assert lines.line(("a", "b.c", "x", "y")) == 3
    assert lines.line(("a", "b.c", "long")) == 4
    assert lines.line(("not", "a")) == 0
    assert lines.line(("a", "b.c", "list", 0)) == 8
    assert lines.line(("a", "rows", 0, "q")) == 12
    assert lines.line(("a", "rows", 0, "sub", "q")) == 14
    assert lines.line(("a", "rows", 1, "q")) == 16
    assert lines.line(("a", "rows", 1, "absent")) == 15


def test_amounts() -> None:
    assert size_bytes("200 MiB") == 200 * 2**20
    assert size_bytes("1.5GB") == 1_500_000_000
    assert size_bytes("7") == 7
    assert duration_seconds("90m") == 5400.0
    assert size_text(256 * 2**20) == "256 MiB"
    for wrong in ("", "MiB", "1 parsec", "-1", "1 2"):
        with pytest.raises(ValueError, match="write"):
            size_bytes(wrong)
        with pytest.raises(ValueError, match="write"):
            duration_seconds(wrong)


def test_the_schema_accepts_what_the_loader_accepts() -> None:
    jsonschema = pytest.importorskip("jsonschema")  # it comes with moto
    validator = jsonschema.Draft202012Validator(json.loads(json.dumps(schema())))
    validator.check_schema(validator.schema)
    validator.validate(tomllib.loads(TOML))
    assert not validator.is_valid({"sites": {}})
    assert not validator.is_valid(tomllib.loads(TOML + "typo = 1\n"))


@pytest.mark.parametrize("rpo", ["0s", "soon", "60x"])
def test_an_objective_is_a_duration_above_nothing(rpo: str) -> None:
    (problem,) = problems(TOML + f'[objectives]\nrpo = "{rpo}"\n')
    assert "objectives.rpo: write " in problem


def test_a_notification_url_never_stands_in_the_file() -> None:
    found = problems(TOML + '[[notify]]\nurl = "slack://hidden-token"\n')
    assert any("notify[0].url: write a table" in problem for problem in found)
    assert "hidden-token" not in str(found)
