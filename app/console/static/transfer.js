// Send a form with progress of the transfer itself; fetch can't tell it, XMLHttpRequest can.

function body(request) {
  try {
    return JSON.parse(request.responseText);
  } catch {
    return { title: `The server answered ${request.status}`, detail: request.status === 413 ? "The file is too large." : "Try again in a moment." };
  }
}

// Returns {answer, abort}. `answer` resolves to {ok, body}, body null when no answer came; `aborted` when the caller stopped it.
export function send(url, data, headers, onProgress) {
  const request = new XMLHttpRequest();
  const answer = new Promise((resolve) => {
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded, event.total));
    request.addEventListener("load", () => resolve({ ok: request.status >= 200 && request.status < 300, body: body(request) }));
    request.addEventListener("error", () => resolve({ ok: false, body: null }));
    request.addEventListener("abort", () => resolve({ ok: false, body: null, aborted: true }));
  });
  request.open("POST", url);
  for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
  request.send(data);
  return { answer, abort: () => request.abort() };
}
