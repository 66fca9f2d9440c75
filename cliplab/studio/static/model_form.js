// The form of a config: marks fields whose error the server's check has filled, opens folded parts that have one.
import { keys } from "./studio.js";

const form = document.getElementById("config-form");

/** A field is invalid for assistive technology where its error is not empty. */
function mark() {
  for (const error of form.querySelectorAll(".field-error")) {
    const field = document.getElementById(error.id.replace(/^error-/, ""));
    if (!field) continue;
    if (error.textContent.trim()) {
      field.setAttribute("aria-invalid", "true");
      const folded = field.closest("details:not([open])");
      if (folded) folded.open = true;
    } else field.removeAttribute("aria-invalid");
  }
}

new MutationObserver(mark).observe(form, { childList: true, subtree: true, characterData: true });
mark();
form.querySelector('[aria-invalid="true"]')?.focus();
keys.register([{ keys: ["/"], does: "first field", run: () => form.querySelector("input:not([type=hidden]), select")?.focus() }]);
// Enter in a field would press the first button; saving is a decision of its own.
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target instanceof HTMLInputElement) event.preventDefault();
});
// What was wrong when it was saved is said again by the next save; meanwhile the fields speak for themselves.
form.addEventListener("input", () => document.getElementById("form-problem")?.remove(), { once: true });
