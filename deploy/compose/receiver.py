"""Receives what the webhook sink sends: checks the signature (https://www.standardwebhooks.com), answers, and prints a line for each event.

receiver.py PORT SECRET_FILE
"""
import base64
import hashlib
import hmac
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE = 300  # seconds that a signature holds


def signed(key, headers, body):
    """Tell whether one of the signatures is ours, and young enough to be no replay."""
    stamp = headers.get("webhook-timestamp", "")
    if not stamp.isdecimal() or abs(time.time() - int(stamp)) > TOLERANCE:
        return False
    content = b"%s.%s." % (headers.get("webhook-id", "").encode(), stamp.encode()) + body
    ours = "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    return any(hmac.compare_digest(ours.encode(), theirs.encode()) for theirs in headers.get("webhook-signature", "").split())


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept
    timeout = 60
    key = b""
    lock = threading.Lock()

    def answer(self, status, **headers):
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        self.answer(200)

    def do_OPTIONS(self):
        # The handshake of the CloudEvents webhook specification: send, at any rate.
        self.answer(200, WebHook_Allowed_Origin=self.headers.get("WebHook-Request-Origin", "*"), WebHook_Allowed_Rate="*")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not signed(self.key, self.headers, body):
            self.answer(401)
            return
        with self.lock:  # a line is whole
            print(self.headers.get("ce-type"), self.headers.get("ce-id"), len(body), "bytes", flush=True)
        self.answer(204)


if __name__ == "__main__":
    port, secret = sys.argv[1:]
    with open(secret, encoding="ascii") as file:
        Receiver.key = base64.b64decode(file.read().removeprefix("whsec_"))
    ThreadingHTTPServer(("", int(port)), Receiver).serve_forever()
