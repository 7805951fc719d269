"""Providers for the browser to look at: their models say what they should not, or what no drawing was made for."""

import http.server
import json

XSS = (
    "<script>alert(1)</script><img src=https://evil.example/a.png onerror=alert(2)>"
    "![x](https://evil.example/?q=1)<svg onload=alert(3)><a href=\"javascript:alert(4)\">x</a>"
    "'\"><iframe src=https://evil.example/></iframe></script></style></title></textarea><script>alert(5)</script>"
    "{{constructor.constructor('alert(6)')()}}<style>@import 'https://evil.example/x.css'</style>\u202e\u001b]52;c;eA==\u0007"
)


TITLES = ("W" * 80, "\U0001f680\U0001f389" * 30, "\u0648\u0627\u062c\u0647\u0629 \u0627\u0644\u0627\u0633\u062a\u062e\u062f\u0627\u0645 " * 6, "Donaudampfschifffahrtsgesellschaft" * 3, "\u975e\u5e38\u306b" * 20, "short")


class Hostile(http.server.BaseHTTPRequestHandler):
    """A provider whose models say what they should not."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def said(self, last):
        answer = {"tasks": [{"id": "a", "title": XSS, "objective": XSS}, {"id": XSS, "title": XSS, "objective": XSS, "depends_on": ["a"]}], "summary": XSS}
        if "review" in last:
            answer = {"decision": "revise", "score": 0.4, "summary": XSS, "issues": [{"severity": XSS, "where": XSS, "fix": XSS}]}
        return json.dumps(answer) if "plan" in last or "review" in last else XSS

    def do_POST(self):
        asked = self.rfile.read(int(self.headers["content-length"])).decode()
        text = self.said(json.loads(asked)["messages"][0]["content"].lower())
        chunk = {"id": "x", "object": "chat.completion.chunk", "model": XSS, "choices": [{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}]}
        end = {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}}
        body = f"data: {json.dumps(chunk)}\n\ndata: {json.dumps(end)}\n\ndata: [DONE]\n\n".encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Strange(Hostile):
    """A provider whose planner makes very many tasks with titles that no drawing was made for."""

    def said(self, last):
        if "review" in last:
            return json.dumps({"decision": "accept", "score": 0.9, "summary": TITLES[2], "issues": []})
        tasks = [{"id": f"t{n}", "title": TITLES[n % len(TITLES)], "objective": "x", "depends_on": ["t0"] if n == 47 else []} for n in range(48)]
        return json.dumps({"tasks": tasks, "summary": "x"}) if "plan" in last else TITLES[0]
