"""Drives headless Chromium over its DevTools protocol, with Python's standard library alone."""

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
import urllib.request


def check(holds, what):
    if not holds:
        raise SystemExit(f"pages: not so: {what}")


def until(look, what, patience=40):
    """Asks again until there is an answer; the last resort is to say what is missing."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        answer = look()
        if answer:
            return answer
        time.sleep(0.05)
    raise SystemExit(f"pages: not so within {patience} s: {what}")


class Wire:
    """A websocket's client side (RFC 6455), for text."""

    def __init__(self, port, path):
        self.socket = socket.create_connection(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            f"sec-websocket-key: {key}\r\nsec-websocket-version: 13\r\n\r\n".encode()
        )
        self.file = self.socket.makefile("rb")
        while self.file.readline() not in (b"\r\n", b""):
            pass

    def send(self, text):
        body, mask = text.encode(), os.urandom(4)
        size = len(body)
        head = b"\x81" + (struct.pack("!B", 0x80 | size) if size < 126 else struct.pack("!BH", 0xFE, size) if size < 65536 else struct.pack("!BQ", 0xFF, size))
        self.socket.sendall(head + mask + bytes(byte ^ mask[n % 4] for n, byte in enumerate(body)))

    def receive(self):
        text = b""
        while True:
            head = self.file.read(2)
            if len(head) < 2:
                return None
            first, size = head[0], head[1] & 0x7F
            if size == 126:
                (size,) = struct.unpack("!H", self.file.read(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", self.file.read(8))
            body = self.file.read(size)
            if first & 0x0F in (0, 1, 2):
                text += body
                if first & 0x80:
                    return text.decode()
            elif first & 0x0F == 8:
                return None


class Browser:
    def __init__(self, profile):
        self.profile = profile

    def __enter__(self):
        program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        check(program, "chromium is installed")
        self.process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
             "--disable-background-networking", "--no-first-run", "--remote-debugging-port=0", f"--user-data-dir={self.profile}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        file = self.profile / "DevToolsActivePort"
        until(file.exists, "chromium listens")
        self.port = int(until(lambda: file.read_text().split("\n")[0], "chromium says where"))
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def open(self, url):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/json/new?about:blank", method="PUT")
        target = json.load(urllib.request.urlopen(request))
        return Page(self.port, target["id"], url)


class Page:
    """One tab. Remembers dialogs, errors, and requests to anybody but the page's own server."""

    def __init__(self, port, target, url):
        self.wire, self.calls, self.answers = Wire(port, f"/devtools/page/{target}"), 0, {}
        self.dialogs, self.errors, self.elsewhere, self.lock = [], [], [], threading.Lock()
        self.url, self.origin = url, url if url.startswith("file:") else "/".join(url.split("/")[:3]) + "/"
        threading.Thread(target=self.listen, daemon=True).start()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask("Page.navigate", url=url)

    def listen(self):
        while (text := self.wire.receive()) is not None:
            said = json.loads(text)
            if "id" in said:
                self.answers[said["id"]] = said
            else:
                self.hear(said["method"], said["params"])

    def hear(self, method, told):
        if method == "Page.javascriptDialogOpening":
            self.dialogs.append(told["message"])
            self.tell("Page.handleJavaScriptDialog", accept=False)
        elif method == "Runtime.exceptionThrown":
            self.errors.append(told["exceptionDetails"].get("exception", {}).get("description", told["exceptionDetails"]["text"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] == "error":
            self.errors.append(str(told["args"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.errors.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            url = told["request"]["url"]
            if not url.startswith((self.origin, "data:", "about:")):
                self.elsewhere.append(url)

    def tell(self, method, **args):
        with self.lock:
            self.calls += 1
            self.wire.send(json.dumps({"id": self.calls, "method": method, "params": args}))
            return self.calls

    def ask(self, method, **args):
        call = self.tell(method, **args)
        until(lambda: call in self.answers, f"an answer to {method}")
        answer = self.answers.pop(call)
        check("error" not in answer, f"{method}: {answer.get('error')}")
        return answer["result"]

    def js(self, code):
        result = self.ask("Runtime.evaluate", expression=code, returnByValue=True)
        check("exceptionDetails" not in result, f"{code}: {result.get('exceptionDetails')}")
        return result["result"].get("value")

    def click(self, selector):
        self.js(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{ block: 'center' }})")
        box = self.js(f"(() => {{ const box = document.querySelector({json.dumps(selector)}).getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()")
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def key(self, name, code):
        for kind in ("rawKeyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)

    def size(self, width, height):
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def dark(self):
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])

    def light(self):
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])

    def printed(self, on):
        self.ask("Emulation.setEmulatedMedia", media="print" if on else "")

    def shot(self, path):
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))

    def settle(self):
        """The page was left alone, and left everybody alone."""
        check(not self.dialogs, f"{self.url}: dialogs {self.dialogs}")
        check(not self.errors, f"{self.url}: errors {self.errors}")
        check(not self.elsewhere, f"{self.url}: requests to {self.elsewhere}")


class proxy:
    """Hands connections on to a server, until they are cut."""

    def __init__(self, host, port):
        self.target, self.heads, self.open = (host, port), [], []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            try:
                server = socket.create_connection(self.target)
            except OSError:
                client.close()
                continue
            self.open += [client, server]
            threading.Thread(target=self.pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, False), daemon=True).start()

    def pump(self, source, sink, asks):
        try:
            while data := source.recv(65536):
                if asks:
                    self.heads.append(data.decode("latin-1"))
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        """Breaks every connection; how many there were."""
        cut, self.open = self.open, []
        for end in cut:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        return len(cut)
