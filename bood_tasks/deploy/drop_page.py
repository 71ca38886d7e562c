"""The page of `bood serve` at `/`: drop pictures, or write texts, and see their scores.

One file, no address outside; names are set as text, never as markup.
"""

import html
import json

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>In or out of distribution?</title><style>
:root { color-scheme: light dark; --line: #8886; --id: #2a7ab8; --ood: #c4562a }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: .2rem }
#drop { display: block; border: 2px dashed var(--line); border-radius: 10px; padding: 2.2rem 1rem;
  text-align: center; cursor: pointer }
#drop.over, #drop:focus-within { border-color: var(--id) }
#drop input { position: absolute; opacity: 0; pointer-events: none }
textarea { width: 100%; box-sizing: border-box; min-height: 8rem; font: inherit }
button { font: inherit; padding: .4rem 1rem; margin-top: .5rem }
#found { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: .8rem }
#found.texts { grid-template-columns: 1fr }
figure { margin: 0; border: 1px solid var(--line); border-radius: 8px; padding: .6rem }
figure { min-width: 0 }
img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain }
figcaption { font-size: .85rem; overflow-wrap: anywhere; margin-top: .35rem }
.ID { color: var(--id); font-weight: 600 } .OOD, .bad { color: var(--ood); font-weight: 600 }
</style></head><body>
<h1>In or out of distribution?</h1>
<p>__SAID__</p>
__ENTRY__
<p id="said" role="status"></p>
<div id="found" class="__KIND__"></div>
<script>
"use strict";
const limits = __LIMITS__, found = document.getElementById("found");
const said = document.getElementById("said");
function show(result, file) {
  const box = document.createElement("figure"), caption = document.createElement("figcaption");
  if (file && file.type && file.type.startsWith("image/")) {
    const image = document.createElement("img");
    image.alt = "";
    image.src = URL.createObjectURL(file);
    image.onload = image.onerror = () => URL.revokeObjectURL(image.src);
    box.append(image);
  }
  const mark = document.createElement("span");
  mark.textContent = result.error ? "unreadable" : result.decision || "";
  mark.className = result.error ? "bad" : result.decision || "";
  const text = result.error || result.score.toPrecision(4) + " \\u00b7 " + result.class;
  caption.append(mark, " ", text, document.createElement("br"), file ? file.name : result.text);
  box.append(caption);
  found.prepend(box);
}
async function ask(body, headers) {
  const answer = await fetch("score", {method: "POST", body, headers});
  const content = await answer.json();
  if (!content.results) throw new Error(content.error || answer.statusText);
  return content.results;
}
function portions(files) {
  const parts = [[]];
  let bytes = 0;
  for (const file of files) {
    const last = parts[parts.length - 1];
    if (last.length && (last.length === limits.items || bytes + file.size > limits.body * 0.9)) {
      parts.push([]);
      bytes = 0;
    }
    parts[parts.length - 1].push(file);
    bytes += file.size;
  }
  return parts;
}
async function send(files) {
  let done = 0;
  for (const part of portions(files)) {
    const form = new FormData();
    for (const file of part) form.append("file", file, file.name);
    said.textContent = done + " of " + files.length + " \\u2026";
    try {
      (await ask(form)).forEach((result, i) => show(result, part[i]));
    } catch (error) {
      part.forEach(file => show({error: error.message}, file));
    }
    done += part.length;
  }
  said.textContent = done + " scored";
}
const drop = document.getElementById("drop");
drop.querySelector("input").addEventListener("change", event => {
  send([...event.target.files]);
  event.target.value = "";
});
for (const name of ["dragenter", "dragover"])
  drop.addEventListener(name, event => { event.preventDefault(); drop.classList.add("over"); });
for (const name of ["dragleave", "drop"])
  drop.addEventListener(name, event => { event.preventDefault(); drop.classList.remove("over"); });
drop.addEventListener("drop", event => send([...event.dataTransfer.files]));
const write = document.getElementById("write");
if (write) write.addEventListener("submit", async event => {
  event.preventDefault();
  const texts = write.querySelector("textarea").value.split("\\n").filter(text => text.trim());
  for (let i = 0; i < texts.length; i += limits.items) {
    const part = texts.slice(i, i + limits.items);
    const body = JSON.stringify({texts: part});
    try {
      const results = await ask(body, {"Content-Type": "application/json"});
      results.forEach((result, k) => show({...result, text: part[k]}));
    } catch (error) {
      show({error: error.message, text: part.join(" / ")});
    }
  }
});
</script></body></html>
"""
DROP = """<label id="drop">Drop __KIND__ here, or choose some<input type="file" multiple __TYPES__>
</label>"""
WRITE = """<form id="write"><textarea placeholder="one text a line" aria-label="texts"></textarea>
<button>Score</button></form>
"""


def drop_page(kind: str, score: str, threshold: float | None, items: int, body: int) -> str:
    """Return the page's HTML. `kind`: pictures or texts."""
    said = f"The score is {html.escape(score)}; a larger one is more in-distribution (ID)."
    if threshold is not None:
        said += f" Below {threshold:.4g} is out-of-distribution (OOD)."
    pictures = kind == "pictures"
    types = 'accept="image/*"' if pictures else 'accept=".txt,text/plain"'
    entry = ("" if pictures else WRITE) + DROP.replace("__TYPES__", types)
    page = PAGE.replace("__SAID__", said).replace("__ENTRY__", entry).replace("__KIND__", kind)
    return page.replace("__LIMITS__", json.dumps({"items": items, "body": body}))
