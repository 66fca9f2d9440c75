// The way in from another machine: the token comes in the URL's fragment, which no server and no log ever sees.
const refused = document.getElementById("refused");

async function show(token) {
  const answer = await fetch("/token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token }),
  });
  if (answer.ok) {
    location.reload();
    return;
  }
  refused.textContent = (await answer.json()).error;
}

const fragment = new URLSearchParams(location.hash.slice(1)).get("token");
if (fragment) {
  history.replaceState(null, "", location.pathname + location.search);
  show(fragment);
}
document.getElementById("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  show(document.getElementById("token").value.trim());
});
