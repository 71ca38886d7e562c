"""The products: what people read, where it lies in results/, and the targets that ask for it.

Targets of the papers' tables and figures bear their numbers there: `table1`, `goe_figure2_text`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

RESULTS = Path("results")


@dataclass(frozen=True)
class Product:
    """One product. The key of PRODUCTS is its kind: the word in its record's file name.

    `folder`: where it lies below results/. `targets`: what `snakemake TARGET` calls it, alone or
    with others. `holds`: what the report shows of it. `from_metrics`: it is a stage of its name
    that reads the main rows' metrics.csv alone; others have a function in plan/reporting.py.
    `absent`: what to set in a configuration that has none.
    """

    folder: str
    targets: tuple[str, ...] = ()
    holds: Literal["tables", "figures", ""] = ""
    from_metrics: bool = False
    absent: str = "it holds texts alone"


# The report shows figures in this order.
PRODUCTS = {
    "metrics": Product(".", ("metrics",)),
    "tables": Product(
        "tables", ("tables", "table1", "table2", "table7"), "tables", from_metrics=True
    ),
    "ablations": Product(
        "tables", ("tables", "table3", "table6", "table8"), "tables",
        absent="write ablations.variants, as config.yaml does, to have tables 3, 6 and 8; "
        "if only.variants is a list, name them there",
    ),
    "costs": Product(
        "tables", ("tables", "table4", "table5"), "tables",
        absent="add a row of method bood or dreamood to have tables 4 and 5",
    ),
    "goe_tables": Product(
        "goe", ("goe_tables", "goe_table1", "goe_table3"), "tables",
        absent="add a row of method oe to have GOE's tables 1 and 3",
    ),
    "goe_text_tables": Product(
        "goe", ("goe_tables", "goe_table2"), "tables",
        absent="write a `text` part with a row of method oe to have GOE's table 2",
    ),
    "examples": Product("examples", ("figures", "examples"), "figures"),
    "best": Product(
        "best", ("figures", "best"), "figures",
        absent="name data sets under `validation` to have rows chosen on them",
    ),
    "comparison": Product("comparison", ("figures", "comparison"), "figures"),
    "choice": Product(
        "choice", ("choice",),
        absent="write a `choice` section to have settings of a row chosen (docs/choosing.md)",
    ),
    "gallery": Product(
        "gallery",
        ("figures", "gallery", "figure1", "figure2", "figure3", "figure4", "figure7", "figure8"),
        "figures",
        absent="add a row with outliers of images to have figures 1 to 4, 7 and 8",
    ),
    "losses": Product(
        "losses", ("figures", "losses"), "figures", absent="add a row that is trained (epochs > 0)"
    ),
    "goe_gallery": Product(
        "goe", ("goe_figures", "goe_figure1"), "figures",
        absent="add a row with outliers of a gan to have GOE's figure 1",
    ),
    "figures": Product("figures", ("figures", "score_figures"), "figures"),
    "sweeps": Product(
        "sweeps", ("figures", "figure5", "figure6"), "figures",
        absent="write ablations.sweeps, as config.yaml does, to have figures 5 and 6; "
        "if only.sweeps is a list, name them there",
    ),
    "goe_sweeps": Product(
        "goe/sweeps", ("goe_figures", "goe_figure2", "goe_figure3"), "figures",
        absent="write ablations of a row of method oe to have GOE's figures 2 and 3",
    ),
    "goe_text_sweeps": Product(
        "goe/text_sweeps", ("goe_figures", "goe_figure2_text"), "figures",
        absent="write text.ablations of a row of method oe to have GOE's figure 2 of texts",
    ),
    "goe_epochs": Product(
        "goe/epochs", ("goe_figures", "goe_figure4"), "figures",
        absent="set detector.snapshots for rows of method oe to have GOE's figure 4",
    ),
    "goe_counts": Product(
        "goe/counts", ("goe_figures", "goe_figure5"), "figures",
        absent="sweep gan_images.count over a row of method oe with detector.snapshots to have "
        "GOE's figure 5",
    ),
    "text_metrics": Product("text", absent="write a `text` part to have results of texts"),
    "report": Product(".", ("report",)),
}  # fmt: skip

CURVES = {  # BOOD's figures of sweeps: the settings that each shows together
    "figure5": ("distances.step_size", "ood_features.extra_steps"),
    "figure6": ("ood_features.rate", "detector.ood_weight", "distances.max_steps"),
}


def targets() -> dict[str, list[str]]:
    """Return the kinds of product that each target of the workflow asks for."""
    names = dict.fromkeys(name for product in PRODUCTS.values() for name in product.targets)
    return {
        name: [kind for kind, product in PRODUCTS.items() if name in product.targets]
        for name in names
    }


def table_numbers(kind: str) -> list[str]:
    """Return the numbers in BOOD's paper of the tables that a product holds."""
    return [name[5:] for name in PRODUCTS[kind].targets if re.fullmatch(r"table\d+", name)]
