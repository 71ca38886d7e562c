"""What a run shows: Snakemake's log events in, lines out."""

import io
import logging

import pytest
from rich.console import Console
from snakemake_interface_logger_plugins.common import LogEvent

from bood_tasks.artifacts.spec import Spec
from bood_tasks.cli import terminal
from bood_tasks.cli.standing import log_of
from bood_tasks.cli.terminal import Terminal
from bood_tasks.plan.plan import Plan

FIRST = Spec("dataset", "cats", {})
SECOND = Spec("detector", "cross_entropy", {}, {"dataset": FIRST})


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["/bin/snakemake", "--configfile", "my file.yaml"])


@pytest.fixture
def screen():
    plan = Plan()
    plan.add(SECOND)
    found = Terminal(Console(file=io.StringIO(), width=80), plan)
    tell(found, LogEvent.RUN_INFO, stats={"all": 1, "dataset": 1, "detector": 1, "total": 3})
    found.begin([FIRST.digest, SECOND.digest], keeps_going=True)
    yield found
    found.end()


def tell(screen: Terminal, event: LogEvent | None, text="", level=logging.INFO, **fields):
    record = logging.makeLogRecord({"msg": text, "levelno": level, "event": event, **fields})
    screen.handle(record)


def start(screen: Terminal, number: int, spec: Spec, command="python"):
    tell(
        screen, LogEvent.JOB_INFO, jobid=number, rule_name=spec.stage, shellcmd=command,
        output=[spec.manifest], log=[str(log_of(spec))], wildcards={},
    )  # fmt: skip


def shown(screen: Terminal) -> list[str]:
    return screen.console.file.getvalue().splitlines()


def write_log(spec: Spec, text: str) -> None:
    log_of(spec).parent.mkdir(parents=True)
    log_of(spec).write_text(text)


def test_a_job_is_a_line_when_it_is_finished_and_targets_are_none(screen):
    before = len(shown(screen))
    start(screen, 1, FIRST)
    start(screen, 7, Spec("metrics", "target", {}), command=None)
    tell(screen, LogEvent.JOB_FINISHED, job_id=1)
    tell(screen, LogEvent.JOB_FINISHED, job_id=7)
    (line,) = shown(screen)[before:]
    assert "[1/2] dataset cats, 0.0 s" in line


def test_a_failure_is_said_at_once_and_again_as_the_last_lines(screen):
    write_log(FIRST, "dataset: 0/9\nerror: path must hold pictures, got []; put some there\n")
    start(screen, 1, FIRST)
    tell(screen, LogEvent.JOB_ERROR, level=logging.ERROR, jobid=1)
    at_once = "\n".join(shown(screen))
    assert "FAILED dataset cats: path must hold pictures, got []; put some there" in at_once
    assert f"{log_of(FIRST)}; jobs that do not need it go on; 1 artifacts wait for it" in at_once
    screen.give_up()
    tell(screen, None, "Complete log(s): x")
    tell(screen, LogEvent.ERROR, "At least one job did not complete", logging.ERROR)
    screen.close()
    last = shown(screen)[-4:]
    assert last[0] == "1 of 2 jobs failed, 0 are done, 1 artifacts wait for it:"
    assert last[1] == "  dataset cats: path must hold pictures, got []; put some there"
    assert last[2] == f"    log: {log_of(FIRST)}"
    assert last[3].endswith("the same command goes on from there: "
                            "snakemake --configfile 'my file.yaml'")  # fmt: skip


def test_without_keep_going_the_failure_says_that_nothing_starts(screen):
    screen.begin([], keeps_going=False)
    start(screen, 1, FIRST)
    tell(screen, LogEvent.JOB_ERROR, level=logging.ERROR, jobid=1)
    said = "\n".join(shown(screen))
    assert "no other job starts" in said
    assert "ended without a word: killed" in said  # there is no log


def test_a_later_try_that_succeeds_is_no_failure(screen):
    start(screen, 1, FIRST)
    tell(screen, LogEvent.JOB_ERROR, level=logging.ERROR, jobid=1)
    start(screen, 1, FIRST)
    tell(screen, LogEvent.JOB_FINISHED, job_id=1)
    screen.give_up()
    before = len(shown(screen))
    screen.close()
    assert shown(screen)[before:] == []


def test_a_failed_job_of_a_group_is_named(screen):
    start(screen, 4, SECOND)
    tell(screen, LogEvent.GROUP_ERROR, level=logging.ERROR, job_error_info=[{"jobid": 4}])
    assert "FAILED detector cross_entropy" in "\n".join(shown(screen))


def test_who_stops_a_run_is_told_in_two_lines_what_is_kept_and_how_to_go_on(screen):
    start(screen, 1, FIRST)
    with pytest.raises(KeyboardInterrupt):
        screen.interrupt(2, None)
    screen.interrupt(2, None)  # by somebody impatient: Snakemake tidies up undisturbed
    write_log(FIRST, "Traceback (most recent call last):\nKeyboardInterrupt\n")
    before = len(shown(screen))
    tell(screen, LogEvent.JOB_ERROR, level=logging.ERROR, jobid=1)
    screen.give_up()
    screen.close()
    first, second = shown(screen)[before:]
    assert first == "Stopped by you with 0 of 2 jobs done; at work were dataset cats."
    assert second.endswith("goes on from there: snakemake --configfile 'my file.yaml'")


def test_warnings_and_errors_are_shown_but_a_command_line_that_failed_is_not(screen):
    before = len(shown(screen))
    tell(screen, None, "Select jobs to execute...")
    tell(screen, None, "disk nearly full", logging.WARNING)
    told = "CalledProcessError in file x:\nCommand 'python' returned 1"
    tell(screen, LogEvent.ERROR, told, logging.ERROR, exception="RuleException")
    tell(screen, LogEvent.ERROR, "no such rule", logging.ERROR, exception="MissingRuleException")
    assert shown(screen)[before:] == ["disk nearly full", "no such rule"]


def test_a_long_silence_without_a_bar_tells_how_far_jobs_are(screen, monkeypatch):
    monkeypatch.setattr(terminal, "SILENCE", 0.0)
    waits = iter([False, True])
    monkeypatch.setattr(screen.ended, "wait", lambda _: next(waits))
    screen.live = object()  # no second thread
    start(screen, 1, FIRST)
    screen._beat()
    assert "at work: dataset cats no word yet" in shown(screen)[-1]
    screen.live = None


def test_the_bar_shows_the_whole_run_and_each_job_with_its_own_progress(screen, tmp_path):
    start(screen, 1, FIRST)
    start(screen, 2, SECOND)
    screen.live = None
    note = (tmp_path / FIRST.manifest).parent / ".progress" / "now"
    note.parent.mkdir(parents=True)
    note.write_text('{"done": 20, "total": 48, "unit": "images", "rate": 2.0}')
    console = Console(file=io.StringIO(), width=120)
    console.print(screen._board())
    run, first, second = console.file.getvalue().splitlines()
    assert "0/2 jobs" in run
    assert first.split()[:2] == ["dataset", "cats"]
    assert "20/48 images, 14.0 s left" in first
    assert second.split()[:2] == ["detector", "cross_entropy"]
