"""What people read: each product's place in results/ and why it may be absent."""

# Why a configuration has none of these; of pictures it always has all others.
ABSENT = {
    "gallery": "add a row with outliers of images to have figures 1 to 4, 7 and 8",
    "ablations": "write ablations.variants, as config.yaml does, to have tables 3, 6 and 8",
    "sweeps": "write ablations.sweeps, as config.yaml does, to have figures 5 and 6",
    "costs": "add a row of method bood or dreamood to have tables 4 and 5",
    "goe_tables": "add a row of method oe to have GOE's tables 1 and 3",
    "goe_text_tables": "write a `text` part with a row of method oe to have GOE's table 2",
    "goe_sweeps": "write ablations of a row of method oe to have GOE's figures 2, 3 and 5",
    "goe_text_sweeps": "write text.ablations of a row of method oe to have GOE's figure 2 of texts",
    "goe_epochs": "set detector.snapshots for rows of method oe to have GOE's figure 4",
    "goe_gallery": "add a row with outliers of a gan to have GOE's figure 1",
    "text_metrics": "write a `text` part to have figures of texts",
}
PLACES = {
    "metrics": ".",
    "tables": "tables",
    "ablations": "tables",
    "costs": "tables",
    "figures": "figures",
    "sweeps": "sweeps",
    "gallery": "gallery",
    "text_metrics": "text",
    "goe_tables": "goe",
    "goe_text_tables": "goe",
    "goe_sweeps": "goe/sweeps",
    "goe_text_sweeps": "goe/text_sweeps",
    "goe_epochs": "goe/epochs",
    "goe_gallery": "goe",
    "report": ".",
}
# The inputs that hold the papers' tables, and those that hold figures.
PAPER = ("tables", "ablations", "costs", "goe_tables", "goe_text_tables")
ALBUMS = ("gallery", "goe_gallery", "figures", "sweeps", "goe_sweeps", "goe_text_sweeps")
