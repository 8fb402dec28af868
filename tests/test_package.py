"""What `pip install <clone>` brings: logpipeline alone, and a handler that works in any program."""

import ast
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from config import Settings
from deploy.supply.lock import configured
from logpipeline.events.settings import RedactionSettings
from logpipeline.kafka.settings import KafkaSettings
from tests.support.clone import copy_files
from tests.support.process import ROOT
from tests.test_handler import arrived
from tests.test_supply import stated, version

pytestmark = pytest.mark.xdist_group("package")  # one worker builds and installs it
asks_the_index = pytest.mark.server  # of Python packages: make check needs no network

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
BASE = [Requirement(text) for text in PROJECT["dependencies"]]
EXTRAS = {
    name: [Requirement(text) for text in texts]
    for name, texts in PROJECT["optional-dependencies"].items()
}
[EVERYTHING] = EXTRAS.pop("all")
FAST = EXTRAS.pop("fast")  # of no program's own: each works without it
# kafka-python itself unpacks with them what other producers have sent.
CODECS = {"python-snappy", "zstandard"}
README = (ROOT / "README.md").read_text("utf-8")
PAGES = "\n".join([README, *(path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md"))])
BLOCKS = [
    block
    for block in re.findall(r"^```python\n(.*?)^```", PAGES, re.DOTALL | re.MULTILINE)
    if "KafkaLogHandler" in block
]
SHARED = {"events"}  # python -m logpipeline.events needs what the handler needs
OF_A_CLONE = {"localstack"}  # it starts the scripts, which no wheel has
ROOMS = {path.parent.name for path in (ROOT / "logpipeline").glob("*/__init__.py")} - OF_A_CLONE
PROGRAMS = {
    room
    for room in ROOMS
    if (ROOT / f"{room}.py").is_file() or (ROOT / "logpipeline" / room / "__main__.py").is_file()
}


index = cache(configured)  # asks pip


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """What it prints. Raises AssertionError, with that, unless its exit status is 0."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | index() if env is None else env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone")
    copy_files(folder)
    return folder


@pytest.fixture(scope="module")
def built(clone: Path) -> Path:
    """A folder with the sdist of the clone, and the wheel of that sdist."""
    folder = clone.parent / "built"
    run(sys.executable, "-m", "uv", "build", "--quiet", "--out-dir", folder, cwd=clone)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    [found] = built.glob("*.whl")
    return found


@pytest.fixture(scope="module", params=["newest", "oldest"])
def python(
    request: pytest.FixtureRequest, clone: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The Python of a fresh environment with the package and its newest or oldest libraries."""
    folder = tmp_path_factory.mktemp("environment")
    found = folder / "bin" / "python"
    if request.param == "newest":
        run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
        [written] = re.findall(r"^\$ pip (install .*)/path/to/\S+$", PAGES, re.MULTILINE)
        pip = [sys.executable, "-m", "pip", "--python", str(found)]
        run(*pip, *written.split(), clone, cwd=folder)
    else:
        wheel = request.getfixturevalue("wheel")
        uv = [sys.executable, "-m", "uv"]
        run(*uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder, cwd=folder)
        oldest = ["--only-binary=:all:", "--resolution=lowest-direct"]
        run(*uv, "pip", "install", "--quiet", "--python", found, *oldest, wheel, cwd=folder)
    return found


def closure(wanted: Iterable[Requirement]) -> set[NormalizedName]:
    """The distributions that these bring, themselves among them."""
    found: set[NormalizedName] = set()
    waiting = [(one, "") for one in wanted]
    while waiting:
        one, extra = waiting.pop()
        if one.marker and not one.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(one.name)
        for inner in {"", *one.extras} if name not in found or one.extras else ():
            waiting += [(Requirement(text), inner) for text in distribution(name).requires or ()]
        found.add(name)
    return found


@asks_the_index
def test_it_brings_logpipeline_alone_and_what_the_handler_needs(
    python: Path, tmp_path: Path
) -> None:
    """So redis, prometheus_client, nicegui or obstore are not there to be imported."""
    code = """if True:
        import json
        from importlib.metadata import distribution, distributions
        files = [file.parts[0] for file in distribution("log-pipeline").files]
        print(json.dumps([files, [one.name for one in distributions()]]))"""
    files, names = json.loads(run(python, "-I", "-c", code, cwd=tmp_path))
    assert set(files) == {"logpipeline", f"log_pipeline-{PROJECT['version']}.dist-info"}
    brought = {canonicalize_name(name) for name in names} - {"pip", "setuptools"}
    assert brought == {"log-pipeline", *closure(BASE)}
    assert not brought & {"redis", "prometheus-client", "nicegui", "obstore", "tqdm", "apprise"}


@asks_the_index
def test_installing_leaves_the_clone_as_it_was(python: Path, clone: Path, tmp_path: Path) -> None:
    copy_files(tmp_path)
    assert set(files_below(clone)) == set(files_below(tmp_path))


def files_below(folder: Path) -> Iterator[str]:
    return (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# Its name is also that of a module in the clone, which it must not get in the way of.
CONFIG = 'SHOP = "corner shop"'
BEGINNING = """\
import config
assert config.SHOP == "corner shop"
"""
ENVIRONMENT = {
    "REDIS_URL": "redis+sentinel://a:26379,b:26379/mymaster",
    "LOG_FILE": "/tmp",  # noqa: S108
    "LOG_MAX_BYTES": "10*1024",
    "METRICS_PORT": "http",
    "STATE_DIR": "/etc/passwd",
}


def application(folder: Path, block: str) -> Path:
    """A program with a config.py of its own, and with the lines for the handler from README."""
    (folder / "config.py").write_text(CONFIG)
    (folder / ".env").write_text("REDIS_URL=nonsense\nDASHBOARD_PORT=nonsense\n")
    program = folder / "shop.py"
    program.write_text(BEGINNING + block)
    return program


def other_peoples(settings: Settings) -> dict[str, str]:
    """An environment with what the handler reads, whose other settings suit other programs."""
    mine = {name for name in os.environ if name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    bare = {name: value for name, value in os.environ.items() if name not in mine}
    of_the_handler = KafkaSettings.model_fields.keys() | RedactionSettings.model_fields.keys()
    others = Settings.model_fields.keys() - of_the_handler
    return (
        bare
        | dict.fromkeys(map(str.upper, others), "not /a: setting")
        | ENVIRONMENT
        | {
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
            "KAFKA_TOPIC": settings.kafka_topic,
        }
    )


@asks_the_index
@pytest.mark.parametrize("block", BLOCKS)
def test_readmes_lines_send_records_from_a_program_with_its_own_config(
    python: Path, block: str, settings: Settings, tmp_path: Path
) -> None:
    program = application(tmp_path, block)
    assert run(python, program, cwd=tmp_path, env=other_peoples(settings)) == ""
    [sent] = arrived(settings.kafka_bootstrap_servers, settings.kafka_topic)
    assert sent.pop("timestamp") > 0
    sent.pop("exception", None)  # some of them log one
    assert sent == {
        "level": "ERROR",
        "message": "Payment failed",
        "logger": "shop",
        "service": "shop",
        "order": 7,
    }


@asks_the_index
def test_a_wrong_setting_ends_such_a_program_with_its_name(python: Path, tmp_path: Path) -> None:
    program = application(tmp_path, BLOCKS[0])
    program.write_text(
        f"try:\n    exec({program.read_text()!r})\n"
        "except ValueError as error:\n    print(error, error.__cause__)"
    )
    environment = {"KAFKA_BOOTSTRAP_SERVERS": "nonsense", **ENVIRONMENT}
    assert run(python, program, cwd=tmp_path, env=environment) == (
        "Unable to configure handler 'kafka' KAFKA_BOOTSTRAP_SERVERS='nonsense': must be "
        "host:port, or several with commas between\n"
    )


@asks_the_index
def test_the_wheel_has_all_that_is_in_the_package_but_what_a_clone_needs(
    wheel: Path, clone: Path
) -> None:
    wanted = {f"logpipeline/{name}" for name in files_below(clone / "logpipeline")}
    wanted = {name for name in wanted if not Path(name).match("requirements.*")}
    assert {Path(name).suffix for name in wanted} >= {".py", ".typed", ".css", ".js", ".html"}
    with zipfile.ZipFile(wheel) as file:
        found = {name for name in file.namelist() if ".dist-info/" not in name}
    assert found == wanted


@asks_the_index
def test_the_sdist_has_the_package_and_its_papers_alone(built: Path) -> None:
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        found = {Path(name).parts[1] for name in file.getnames()}
    papers = {"README.md", "CHANGELOG.md", "LICENSE"}
    assert found - {".gitignore"} == {"logpipeline", "pyproject.toml", "PKG-INFO", *papers}


@asks_the_index
def test_the_metadata_is_valid_and_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        [name] = [name for name in file.namelist() if name.endswith("/METADATA")]
        metadata = Metadata.from_email(file.read(name), validate=True)
        papers = name.replace("METADATA", "licenses/LICENSE")
        assert file.read(papers) == (ROOT / "LICENSE").read_bytes()
    assert metadata.license_expression == "MIT"
    assert str(metadata.requires_python) == ">=3.11"
    assert metadata.description == README
    assert metadata.description_content_type == "text/markdown"


def test_the_hosted_workflow_tests_each_python_that_the_metadata_names() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    [matrix] = re.findall(r"^ +python: (\[.*\])$", workflow, re.MULTILINE)
    prefix = "Programming Language :: Python :: 3."
    named = [one.rpartition(" ")[2] for one in PROJECT["classifiers"] if one.startswith(prefix)]
    assert json.loads(matrix) == named
    assert PROJECT["requires-python"] == f">={named[0]}"


RUNS = [ROOT / "requirements.txt", *ROOT.glob("logpipeline/*/requirements.txt")]
PINS = {
    canonicalize_name(pin.name): pin
    for path in RUNS
    if path.parent.name not in OF_A_CLONE
    for pin in stated(path)
}


@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_a_requirement_admits_the_version_in_requirements_txt(extra: str) -> None:
    for one in EXTRAS[extra] if extra else BASE:
        pin = PINS[canonicalize_name(one.name)]
        assert one.specifier.contains(version(pin)), one
        assert (one.extras, str(one.marker)) == (pin.extras, str(pin.marker)), one
        assert {part.operator for part in one.specifier} <= {">=", "=="}, one


def test_kafka_python_is_exact_because_its_private_parts_are_used() -> None:
    [found] = [one for one in BASE if one.name == "kafka-python"]
    assert version(found) == version(PINS[canonicalize_name("kafka-python")])


def test_all_extras_together_are_what_the_requirements_files_state() -> None:
    together = [one for requirements in (BASE, FAST, *EXTRAS.values()) for one in requirements]
    assert {canonicalize_name(one.name) for one in together} == set(PINS)
    assert (EVERYTHING.name, EVERYTHING.extras) == (PROJECT["name"], {"fast", *EXTRAS})


def test_each_program_has_an_extra_with_what_it_imports_and_no_more() -> None:
    assert distributions_of(imported("logpipeline.producer.handler")) <= closure(BASE)
    needs = {program: distributions_of(imported(*modules(program))) for program in PROGRAMS}
    assert set(EXTRAS) == {program for program in PROGRAMS if needs[program] - closure(BASE)}
    for program in EXTRAS:
        needed = needs[program]
        assert needed <= closure([*BASE, *EXTRAS[program]]), f"extra {program} lacks some"
        direct = {canonicalize_name(one.name) for one in EXTRAS[program]}
        assert direct <= needed | CODECS, f"extra {program} has too many"


def modules(program: str) -> list[str]:
    """Of the script and its room; of the room that all others use, what its program starts from."""
    room = ROOT / "logpipeline" / program
    paths = [ROOT / f"{program}.py", *room.rglob("*.py")]
    paths = [room / "__main__.py"] if program in SHARED else paths
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]


def imported(*names: str) -> set[str]:
    """The libraries that these modules of ours import, by way of others of ours too: but not of
    config.py, which composes the settings of all programs."""
    found: set[str] = set()
    waiting, seen = [*names], {"config"}
    while waiting:
        name = waiting.pop()
        path = ROOT / name.replace(".", "/")
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name in seen:
            continue
        seen.add(name)
        if path.is_file():
            waiting += imports_of(path)
        elif not name.startswith("logpipeline."):
            found.add(name.partition(".")[0])
    return found - sys.stdlib_module_names - PROGRAMS


@cache
def imports_of(path: Path) -> list[str]:
    return [*imports(ast.parse(path.read_text("utf-8")))]


def imports(tree: ast.AST) -> Iterator[str]:
    """The names of what it imports when it runs; from a package, also as if each were a module."""
    if isinstance(tree, ast.If) and ast.unparse(tree.test) == "TYPE_CHECKING":
        return
    if isinstance(tree, ast.Import):
        yield from (alias.name for alias in tree.names)
    if isinstance(tree, ast.ImportFrom) and tree.module:
        yield tree.module
        yield from (f"{tree.module}.{alias.name}" for alias in tree.names)
    for child in ast.iter_child_nodes(tree):
        yield from imports(child)


def distributions_of(libraries: set[str]) -> set[NormalizedName]:
    return {canonicalize_name(installed()[library][0]) for library in libraries}


@cache
def installed() -> dict[str, list[str]]:
    """The distributions of each library; of those that share a namespace, the one we import."""
    ours = {"google": ["protobuf"], "opentelemetry": ["opentelemetry-proto"]}
    return {**packages_distributions(), **ours}
