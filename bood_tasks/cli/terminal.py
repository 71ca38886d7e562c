"""What a run shows at a terminal: a line a job, a live bar with what the running jobs say of
themselves, each failure with its cure, and last what failed or what was stopped.

A handler of Snakemake's log events, in place of Snakemake's own; the file in `.snakemake/log` keeps
everything as Snakemake writes it. Where there is no terminal, plain lines; in a long silence one
that says how far the running jobs are.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from snakemake_interface_logger_plugins.common import LogEvent

from bood_tasks.artifacts.manifest import read_facts
from bood_tasks.artifacts.usage import duration
from bood_tasks.catalogue.products import targets
from bood_tasks.cli.runs import command_line
from bood_tasks.cli.standing import blocked, last_words, shown
from bood_tasks.jobs.progress import how_far
from bood_tasks.plan.plan import Plan
from bood_tasks.reporting.publish import WITHDRAWN

SILENCE = 30.0  # seconds without a line, and without a bar, until one says how far jobs are
LONGEST_SILENCE = 600.0  # each time twice as long
AT_ONCE = 8  # running jobs in the bar
SAID = ("Nothing to be done", "Will exit after finishing", "Terminating processes on user request")
NOT_SAID = ("Exiting because a job execution failed",)  # the last lines say more
USUAL = ("Building DAG", "Using shell", "Conda env", "Singularity", "Group jobs", "Workflow has")


@dataclass
class Job:
    """One job that Snakemake has started: what it makes, its log, when it began."""

    rule: str
    name: str
    output: Path
    log: str
    began: float

    def __str__(self) -> str:
        return f"{self.rule} {self.name}".strip()


class Terminal(logging.Handler):
    """Shows one run. `console` is rich's; `keeps_going` says what happens after a failure."""

    def __init__(self, console, plan: Plan):
        super().__init__()
        self.console, self.plan, self.keeps_going = console, plan, True
        self.makes: set[str] = set()
        self.total, self.done, self.began = 0, 0, time.time()
        self.running: dict[int, Job] = {}
        self.failed: dict[int, tuple[Job, str]] = {}
        self.over, self.interrupts = False, 0  # interrupts: how often Ctrl-C was pressed
        self.live = None
        self.printed, self.silences, self.ended = time.monotonic(), 0, threading.Event()

    # --- events ---

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if not self.over:
                self._take(record)
        except Exception:
            self.handleError(record)

    def _take(self, record: logging.LogRecord) -> None:
        match getattr(record, "event", None):
            case LogEvent.RUN_INFO:
                waits = {"all", "total", *targets()}  # they run nothing
                self.total = sum(n for rule, n in record.stats.items() if rule not in waits)
                self._print(f"{self.total} jobs; in another terminal, `bood status` tells of them")
            case LogEvent.JOB_INFO:
                self._start(record)
            case LogEvent.JOB_FINISHED:
                self._finish(record.job_id)
            case LogEvent.JOB_ERROR:
                self._fail(record.jobid)
            case LogEvent.GROUP_ERROR:
                for info in record.job_error_info:
                    self._fail(info["jobid"])
            case None | LogEvent.ERROR:
                text = record.getMessage()
                command = getattr(record, "exception", "") == "RuleException"
                if text.startswith(NOT_SAID) or (command and "CalledProcessError" in text):
                    return  # JOB_ERROR says it
                if record.levelno >= logging.WARNING:
                    self._print(text, style="red" if record.levelno > logging.WARNING else "yellow")
                elif text.startswith(SAID) or not (self.total or text.startswith(USUAL)):
                    self._print(text)  # without jobs: what --unlock, --report and others say

    def _start(self, record: logging.LogRecord) -> None:
        if not record.shellcmd:  # a target
            return
        output = Path(record.output[0] if record.output else "")
        spec = self.plan.specs.get(output.parent.name)
        name = spec.name if spec else record.wildcards.get("kind", "")
        log = record.log[0] if record.log else ""
        self.running[record.jobid] = Job(
            record.rule_name.removesuffix("_artifact"), name, output, log, time.time()
        )
        self._show_bar()

    def _finish(self, number: int) -> None:
        self.failed.pop(number, None)  # a later try
        job = self.running.pop(number, None)
        if job is None:
            return
        self.done += 1
        took = time.time() - job.began
        if (job.output.parent / "run.json").is_file():  # on a cluster without the time in its queue
            took = read_facts(job.output).get("seconds", took)
        self._line(f"[{self.done:>{len(str(self.total))}}/{self.total}] {job}, {duration(took)}")
        if job.rule == "publish" and Path(job.log).is_file():
            for line in Path(job.log).read_text(encoding="utf-8", errors="replace").splitlines():
                if line.startswith(WITHDRAWN):
                    self._print(line)

    def _fail(self, number: int) -> None:
        if self.stopped or number not in self.running:
            return
        job = self.running.pop(number)
        said = last_words(Path(job.log))[1] or (
            "it ended without a word: killed, by the system if the memory was used up"
        )
        self.failed[number] = job, said
        self._line(f"FAILED {job}: {said}", style="bold red")
        self._print(f"  its log: {job.log}; {self._meanwhile(job)}", style="red")

    def _waiting(self, jobs: Iterable[Job]) -> str:
        """Say how many artifacts of this run cannot be made without what these jobs make."""
        held = blocked(self.plan.specs, [job.output.parent.name for job in jobs]) & self.makes
        return f"{len(held)} artifacts wait for it" if held else ""

    def _meanwhile(self, job: Job) -> str:
        if not self.keeps_going:
            return "no other job starts, those that run end"
        return "; ".join(filter(None, ["jobs that do not need it go on", self._waiting([job])]))

    # --- lines ---

    def _line(self, text: str, style: str = "") -> None:
        self._print(f"{time.strftime('%H:%M:%S')} {text}", style=style)

    def _print(self, text: str, style: str = "") -> None:
        self.printed, self.silences = time.monotonic(), 0
        self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def _at_work(self) -> list[tuple[Job, str]]:
        jobs = list(self.running.values())
        return [(job, shown(how_far(job.output.parent, job.began))) for job in jobs]

    def _show_bar(self) -> None:
        if self.live is not None:
            return
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            from rich.live import Live

            self.live = Live(
                get_renderable=self._board, console=self.console, refresh_per_second=2,
                transient=True, redirect_stdout=False, redirect_stderr=False,
            )  # fmt: skip
            self.live.start()
        else:
            self.live = threading.Thread(target=self._beat, daemon=True)
            self.live.start()

    def _board(self):
        """Return the bar: the whole run, and below it the jobs that run now."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        board = Table.grid(padding=(0, 1))
        board.add_column(overflow="ellipsis", no_wrap=True, max_width=60)
        board.add_column()
        board.add_column(no_wrap=True)
        took = duration(time.time() - self.began)
        failed = f", {len(self.failed)} failed" if self.failed else ""
        board.add_row(
            "the whole run", ProgressBar(max(1, self.total), self.done, width=24),
            f"{self.done}/{self.total} jobs{failed}, {took}",
        )  # fmt: skip
        jobs = list(self.running.values())
        found = [(job, how_far(job.output.parent, job.began)) for job in jobs]
        found.sort(key=lambda item: item[1] is None)  # those first that say how far they are
        for job, now in found[:AT_ONCE]:
            bar = ProgressBar(max(1, now.total), now.done, width=24) if now else ""
            board.add_row(f"  {job}", bar, shown(now) or duration(time.time() - job.began))
        if len(found) > AT_ONCE:
            board.add_row(f"  and {len(found) - AT_ONCE} more", "", "")
        return board

    def _beat(self) -> None:
        """Without a bar: after a silence a line says how far the running jobs are."""
        while not self.ended.wait(1.0):
            wait = min(SILENCE * 2**self.silences, LONGEST_SILENCE)
            if time.monotonic() - self.printed < wait:
                continue
            told, silences = self._at_work(), self.silences + 1
            if told:
                each = [f"{job} {far or 'no word yet'}" for job, far in told[:AT_ONCE]]
                more = [f"{len(told) - AT_ONCE} more"] if len(told) > AT_ONCE else []
                self._line("at work: " + "; ".join(each + more))
            self.silences = silences

    # --- the end ---

    def begin(self, makes: Iterable[str], *, keeps_going: bool) -> None:
        """The first job starts now; `makes` are the digests of what the run makes."""
        self.makes, self.keeps_going = set(makes), keeps_going

    def more(self, makes: Iterable[str]) -> None:
        """A rung of a choice has ended: `makes` are the digests of what the run makes besides."""
        makes = set(makes)
        self.makes |= makes
        self.total += len(makes) or 1  # what is left is to publish what was chosen
        if makes:
            self._line(f"the next rung of the choice: {len(makes)} more jobs")

    def interrupt(self, number: int, frame: object) -> None:
        """Take Ctrl-C: the first one stops the run. One more, of somebody impatient, reaches the
        jobs, but must not break what Snakemake tidies up; a third one may."""
        self.interrupts += 1
        if self.interrupts == 2:
            os.write(2, b"It stops already; once more ends Snakemake at once\n")
            return
        signal.default_int_handler(number, frame)

    @property
    def stopped(self) -> bool:
        return self.interrupts > 0

    def end(self) -> None:
        """Take the bar away: what follows is printed below the lines."""
        self.ended.set()
        if self.live is not None and not isinstance(self.live, threading.Thread):
            self.live.stop()

    def give_up(self) -> None:
        """The run has ended without all of its jobs: what Snakemake adds stands in its log file."""
        self.over = True
        self.end()

    def close(self) -> None:
        """Say last what a person must know: what failed and its cure, or how to go on."""
        self.end()
        if self.over:
            self.over = False
            for line, style in self._last():
                self._print(line, style=style)
        super().close()

    def _last(self) -> list[tuple[str, str]]:
        again = f"the same command goes on from there: {command_line(sys.argv)}"
        lines: list[tuple[str, str]] = []
        if self.stopped:
            at_work = [f"{job} ({far})" if far else str(job) for job, far in self._at_work()]
            more = f"; at work were {', '.join(at_work[:AT_ONCE])}" if at_work else ""
            kept = "What is finished, and what unfinished jobs have written, is kept"
            done = f"Stopped by you with {self.done} of {self.total} jobs done"
            lines.append((f"{done}{more}.", "bold"))
            lines.append((f"{kept}; {again}", ""))
        if self.failed:
            jobs = [job for job, _ in self.failed.values()]
            counts = f"{len(jobs)} of {self.total} jobs failed, {self.done} are done"
            said = ", ".join(filter(None, [counts, self._waiting(jobs)]))
            lines += [("", ""), (f"{said}:", "bold red")]
            for job, said in self.failed.values():
                lines += [(f"  {job}: {said}", "red"), (f"    log: {job.log}", "")]
            if not self.stopped:
                lines.append((f"What is finished is kept; when the cause is mended, {again}", ""))
        return lines


def attach(workflow, plan: Plan) -> Terminal | None:
    """Show a run this way instead of Snakemake's; return what shows it.

    None, and Snakemake's own lines, for a dry run, where they were asked for (--printshellcmds,
    --verbose, --quiet, --debug-dag), or where a logger plugin has the terminal.
    """
    from rich.console import Console
    from snakemake.logging import logger

    told = workflow.output_settings
    usual = [handler for handler in logger.handlers if handler.name == "DefaultStreamHandler"]
    if told.dryrun or told.printshellcmds or told.verbose or told.quiet or told.debug_dag:
        return None
    if not usual:
        return None
    console = Console(stderr=True, no_color=told.nocolor or None)
    terminal = Terminal(console, plan)
    for handler in usual:
        logger.removeHandler(handler)
    logger.addHandler(terminal)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, terminal.interrupt)
    return terminal
