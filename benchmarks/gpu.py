"""Every GPU figure of this project in one run of at most eight minutes, on random weights and data.

    PYTHONPATH=. python benchmarks/gpu.py                 # on a GPU
    PYTHONPATH=. python benchmarks/gpu.py --only encoder  # some parts alone
    PYTHONPATH=. python benchmarks/gpu.py --tiny          # on any machine: does every part run?

The parts (gpu_parts.py says what each times) run one after another, what is worth most first, each
in processes of its own that are ended together, children as well, when its time is over. Every
figure is printed as it comes, so a part that is cut off keeps what it has. A part that needs a
package which is not there is named and left out. At the end stands each goal beside what was
measured; the last line is JSON with all of it. The exit status is 1 if a part failed or was cut
off. Needs no Snakemake; this script alone not even torch.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
TOTAL = 480  # seconds of all parts
GRACE = 3.0  # seconds from SIGTERM to SIGKILL
PARTS = {  # in order of worth: most seconds of each
    "device": 45,
    "generation": 170,
    "encoder": 75,
    "detector": 70,
    "resnet34_224": 60,
    "variants": 75,
    "demo": 45,
    "gan": 40,
    "scores": 30,
    "distances": 30,
    "samplers": 45,
}
GOALS = [  # part, figure, goal on one H200, whether more is better
    ("generation", "images_per_second", 5.3, True),
    ("generation", "first_batch_seconds", 45.0, False),
    ("encoder", "minutes_of_200_epochs", 4.0, False),
    ("encoder", "first_step_seconds", 15.0, False),
    ("detector", "minutes_of_200_epochs", 8.0, False),
    ("resnet34_224", "share_of_bf16_rate", 0.6, True),
    ("demo", "seconds_of_200_pictures", 10.0, False),  # a laptop's CPU takes as long
    ("gan", "seconds_of_50000_pictures", 30.0, False),
    ("distances", "seconds", 0.5, False),
]
Show = Callable[[dict], object]


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def end_group(group: int) -> None:
    """End every process of a group: politely, then after GRACE seconds by force."""
    for wanted in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(group, wanted)
        except ProcessLookupError:
            return
        until = time.monotonic() + GRACE
        while _alive(group) and time.monotonic() < until:
            time.sleep(0.05)


def run_part(command: Sequence[str], limit: float, show: Show) -> dict:
    """Run a part and show each figure, a line of JSON, as it comes.

    Returns the figures, with `error` if the part failed or was cut off after `limit` seconds.
    """
    found: dict = {}

    def read(lines) -> None:
        for line in lines:
            try:
                figures = dict(json.loads(line))
            except (ValueError, TypeError):
                continue  # a library's own line
            found.update(figures)
            show(figures)

    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, text=True,
            start_new_session=True,
        )  # fmt: skip
        reader = threading.Thread(target=read, args=(process.stdout,), daemon=True)
        reader.start()
        error = ""
        try:
            if process.wait(limit):
                error = f"ended with status {process.returncode}"
        except subprocess.TimeoutExpired:
            error = f"cut off after {limit:.0f} s"
        finally:
            _end(process)  # also what a part has left behind
        reader.join(GRACE)
        if not reader.is_alive():  # else a child in a group of its own still holds the pipe
            process.stdout.close()
        if error:
            errors.seek(0)
            found["error"] = f"{error}\n{errors.read()[-1500:]}".strip()
    return dict(found)


def _end(process: subprocess.Popen) -> None:
    ender = threading.Thread(target=end_group, args=(process.pid,))
    ender.start()
    process.wait()  # or its zombie would count as alive
    ender.join()


def goal_lines(found: dict[str, dict]) -> list[str]:
    """Return a line a goal: what was measured, and whether it meets the goal."""
    lines = [f"{'part':14} {'figure':26} {'measured':>10} {'goal (H200)':>12}"]
    for part, key, goal, more in GOALS:
        value = found.get(part, {}).get(key)
        if value is None:
            lines.append(f"{part:14} {key:26} {'-':>10} {goal:>12,.2f}  not measured")
            continue
        met = value >= goal if more else value <= goal
        lines.append(
            f"{part:14} {key:26} {value:>10,.2f} {goal:>12,.2f}  {'met' if met else 'NOT MET'}"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true", help="every part in seconds, on the CPU")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these parts alone")
    parser.add_argument("--seconds", type=float, default=TOTAL, help="of all parts together")
    options = parser.parse_args()
    names = [name for name in PARTS if name in (options.only or PARTS) or name == "device"]
    began, found = time.monotonic(), {}
    for name in names:
        left = options.seconds - (time.monotonic() - began)
        if left < 1:
            found[name] = {"error": "no time was left"}
            print(f"{name}: no time was left", flush=True)
            continue
        limit = min(left, PARTS[name])
        command = [sys.executable, str(HERE / "gpu_parts.py"), name]
        print(f"{name}: at most {limit:.0f} s", flush=True)
        found[name] = run_part(
            command + ["--tiny"] * options.tiny, limit,
            lambda figures: print(f"  {json.dumps(figures)}", flush=True),
        )  # fmt: skip
        if "error" in found[name]:
            print(f"  {found[name]['error']}", flush=True)
        if name == "device" and not options.tiny and found[name].get("device") == "cpu":
            sys.exit("error: no GPU here; on the CPU run each benchmark alone, or all with --tiny")
    seconds = round(time.monotonic() - began, 1)
    print("\n".join(["", *goal_lines(found)]), flush=True)
    print(json.dumps({"benchmark": "gpu", "seconds": seconds, "parts": found}), flush=True)
    sys.exit(int(any("error" in part for part in found.values())))


if __name__ == "__main__":
    main()
