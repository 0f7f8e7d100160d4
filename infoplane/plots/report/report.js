"use strict";
for (const button of document.querySelectorAll("th button")) {
  const head = button.closest("th");
  const body = head.closest("table").tBodies[0];
  const original = [...body.rows];
  const column = [...head.parentNode.cells].indexOf(head);
  const key = (row) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
  };
  button.addEventListener("click", () => {
    const next = { ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")];
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    const order = next === undefined ? "ascending" : next;
    if (order !== "none") head.setAttribute("aria-sort", order);
    const sign = order === "descending" ? -1 : 1;
    const rows = order === "none" ? original : [...body.rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
    });
    body.append(...rows);
  });
}
