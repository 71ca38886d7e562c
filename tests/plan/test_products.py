"""The table of products against the plan: what asks for each, and which need no spec."""

from bood_tasks.catalogue.products import PRODUCTS, Product, table_numbers, targets
from bood_tasks.catalogue.stages import STAGES
from bood_tasks.plan import plan as planning
from tests.plan.test_plan import config


def test_every_target_of_a_plan_is_a_product():
    assert set(planning.make(config()).targets) <= set(PRODUCTS)


def test_each_table_and_figure_of_the_papers_is_part_of_one_product():
    numbered = {name: kinds for name, kinds in targets().items() if any(map(str.isdigit, name))}
    assert {name for name in numbered if name.startswith("table")} == {
        f"table{number}" for number in range(1, 9)
    }
    assert {name for name in numbered if name.startswith("figure")} == {
        f"figure{number}" for number in range(1, 9)
    }
    assert all(len(kinds) == 1 for kinds in numbered.values())


def test_targets_of_several_products_name_them_all():
    asked = targets()
    assert asked["tables"] == ["tables", "ablations", "costs"]
    assert asked["figures"] == [
        "examples", "best", "comparison", "gallery", "losses", "figures", "sweeps",
    ]  # fmt: skip
    assert asked["goe_tables"] == ["goe_tables", "goe_text_tables"]
    assert asked["goe_figures"] == [
        "goe_gallery", "goe_sweeps", "goe_text_sweeps", "goe_epochs", "goe_counts",
    ]  # fmt: skip


def test_table_numbers_are_those_of_boods_paper():
    assert table_numbers("ablations") == ["3", "6", "8"]
    assert table_numbers("goe_tables") == []


def test_a_product_from_metrics_needs_no_spec_of_its_own(monkeypatch):
    monkeypatch.setitem(PRODUCTS, "extra", Product("extra", from_metrics=True))
    monkeypatch.setitem(STAGES, "extra", STAGES["tables"])
    made = planning.make(config()).targets
    assert made["extra"].inputs == {"metrics": made["metrics"]}
    assert made["extra"].settings == made["tables"].settings
    assert "extra" in made["report"].inputs
