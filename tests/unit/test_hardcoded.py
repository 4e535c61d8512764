"""Endpoints that are written into code: found with their place, without crying wolf."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from farshore.cli.main import run
from farshore.core.hardcoded import Hit, Known, hits, known_of
from farshore.doctor.tree import FILE_BYTES_MAX, scan
from farshore.errors import UsageError

KNOWN = known_of(
    [
        ("east", "https://s3.east.example.net"),
        ("west", "http://10.1.2.3:9000"),
        ("lab", "http://127.0.0.1:8333"),
        ("short", "http://minio:9000"),
    ],
    ["https://files.example.net"],
)


def kinds(text: str, known: Known = KNOWN) -> list[tuple[str, str]]:
    return [(hit.kind, hit.site) for hit in hits(text, known)]


@pytest.mark.parametrize(
    ("line", "kind", "site"),
    [
        ('s3 = boto3.client("s3", endpoint_url="https://s3.east.example.net")', "site", "east"),
        ("curl https://bucket.s3.east.example.net/key", "site", "east"),
        ("host: S3.EAST.EXAMPLE.NET:443", "site", "east"),
        ("backend 10.1.2.3:9000 # minio", "site", "west"),
        ("address=10.1.2.3", "site", "west"),
        ("url = http://localhost:8333/b", "site", "lab"),
        ("MINIO: http://minio:9000", "site", "short"),
        ("https://my-bucket.s3.eu-west-1.amazonaws.com/a", "store", ""),
        ("https://s3.amazonaws.com", "store", ""),
        ("s3-us-west-2.amazonaws.com", "store", ""),
        ("https://acc.r2.cloudflarestorage.com", "store", ""),
        ("AWS_ENDPOINT_URL_S3=https://storage.corp.net", "setting", ""),
        ("  - AWS_ENDPOINT_URL=http://store:9000", "setting", ""),
        ("      S3_ENDPOINT: storage.corp.net:9000", "setting", ""),
        ('os.environ["AWS_ENDPOINT_URL"] = "https://storage.corp.net"', "setting", ""),
        ('boto3.client("s3", endpoint_url="https://storage.corp.net")', "setting", ""),
        ('.endpointOverride(URI.create("https://storage.corp.net")) // s3', "argument", ""),
        ('new S3Client({ endpoint: "https://storage.corp.net" })', "argument", ""),
        ('o.BaseEndpoint = aws.String("https://storage.corp.net")', "argument", ""),
        ('new AmazonS3Config { ServiceURL = "https://storage.corp.net" }', "argument", ""),
        ("'s3' => ['endpoint' => 'https://storage.corp.net']", "argument", ""),
        ('{"s3": {"endpoint": "https://storage.corp.net"}}', "argument", ""),
        ('minio.New("storage.corp.net:9000", opts)', "argument", ""),
        ("s3.endpoint=https://storage.corp.net", "argument", ""),
    ],
)
def test_each_way_to_write_one(line: str, kind: str, site: str) -> None:
    assert kinds(f"first line\n{line}\n") == [(kind, site)]
    (hit,) = hits(f"first line\n{line}\n", KNOWN)
    assert hit.line == 2
    assert line[hit.column - 1 :].lower().startswith(hit.what[:10].lower())


@pytest.mark.parametrize(
    "line",
    [
        "AWS_ENDPOINT_URL=${S3_URL}",
        'endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"]',
        'boto3.client("s3", endpoint_url=config.endpoint)',
        'boto3.client("s3", endpoint_url="https://files.example.net")',
        "S3_ENDPOINT: https://files.example.net",
        "https://sqs.eu-west-1.amazonaws.com/1/q",
        "https://notamazonaws.com and s3.amazonaws.company",
        "https://others3.east.example.network",
        "10.1.2.34 and 110.1.2.3",
        "127.0.0.1:83330 and localhost:8334",
        "minio is a server",
        "from s3.amazonaws import x",
        '"arn:aws:s3:::bucket/key"',
    ],
)
def test_what_is_none(line: str) -> None:
    assert kinds(line) == []


def test_endpoints_of_other_services_are_none_where_nothing_is_said_of_s3() -> None:
    assert kinds("endpoint: https://api.corp.net/v1") == []
    assert kinds("endpoint: https://api.corp.net/v1\nbucket: files") == [("argument", "")]


@pytest.mark.parametrize(
    ("line", "comment"),
    [
        ("# see https://s3.amazonaws.com", True),
        ("   // https://s3.amazonaws.com", True),
        (" * https://s3.amazonaws.com", True),
        ("x = 1  # https://s3.amazonaws.com", True),
        ('x = "https://s3.amazonaws.com"  # the store', False),
        ('url = "https://s3.amazonaws.com"', False),
    ],
)
def test_comments_are_marked(line: str, comment: bool) -> None:
    (hit,) = hits(line, KNOWN)
    assert hit.comment is comment


def test_nothing_but_the_piece_is_repeated_and_no_password() -> None:
    line = 'k="SECRET"; endpoint_url="https://me:hunter2@storage.corp.net"; p="SECRET"'
    (hit,) = hits(f"boto {line}", Known())
    assert "SECRET" not in hit.what
    assert "hunter2" not in hit.what
    assert "storage.corp.net" in hit.what


def test_a_huge_line_is_looked_at_to_its_end_and_quickly() -> None:
    line = "endpoint_s3_" * 80_000 + ' endpoint_url="https://storage.corp.net"'
    began = time.monotonic()
    assert [hit.kind for hit in hits(line, KNOWN)] == ["setting"]
    assert time.monotonic() - began < 10
    at_the_seam = "x" * 7_990 + " https://s3.amazonaws.com "
    assert list(hits(at_the_seam, KNOWN)) == [Hit(1, 7_992, "store", "https://s3.amazonaws.com")]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "code"
    (root / ".git").mkdir(parents=True)
    (root / "app").mkdir()
    (root / ".git" / "config").write_text("url = https://s3.amazonaws.com\n")
    (root / "app" / "store.py").write_text('import boto3\nURL = "https://s3.amazonaws.com"\n')
    (root / "app" / "notes.md").write_text("# https://s3.amazonaws.com\n")
    (root / "app" / "image.png").write_bytes(b"\x89PNG\0https://s3.amazonaws.com")
    (root / "app" / "large.txt").write_text("https://s3.amazonaws.com\n" * (FILE_BYTES_MAX // 20))
    (root / "app" / "windows.ini").write_bytes("e=https://s3.amazonaws.com".encode("utf-16"))
    (root / "link").symlink_to(root / "app")
    (root / ".env").write_text("AWS_ENDPOINT_URL=http://store.corp.net:9000\n")
    return root


def test_a_tree_is_read_within_bounds(tree: Path) -> None:
    scanned = scan([tree], Known())
    assert sorted(Path(path).name for path in scanned.found) == [
        ".env",
        "notes.md",
        "store.py",
        "windows.ini",
    ]
    assert (scanned.files, scanned.binaries) == (4, 1)
    assert [Path(path).name for path in scanned.large] == ["large.txt"]
    endless = scan([Path("/dev/zero")], Known())
    assert endless.large == ["/dev/zero"]
    assert not scanned.cut
    assert scan([tree / ".git"], Known()).files == 1, "what is named is read"
    with pytest.raises(UsageError):
        scan([tree / "absent"], Known())


def test_the_command(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)
    assert run(["scan-endpoints", ".", "--json"]) == 4
    found = json.loads(capsys.readouterr().out)["found"]
    place = [(row["path"], row["line"]) for row in found if row["path"].endswith("store.py")]
    assert place == [("app/store.py", 2)]
    assert run(["scan-endpoints", "app/notes.md"]) == 0, "a comment harms nobody"
    assert "1 more in comments" in capsys.readouterr().out
    assert run(["scan-endpoints", "absent", "--json"]) == 2
