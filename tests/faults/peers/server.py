"""CPython's socketserver as the fault suite's example: the same options, the same few modes."""

import argparse
import signal
import socketserver
import sys
import threading


class Once(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.readline())


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(8192):
            self.request.sendall(data)


class Reply(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.recv(1024, 0x100)  # MSG_WAITALL
        self.request.sendall(b"r" * (1 << 20))


class Sync(socketserver.TCPServer):
    allow_reuse_address = True
    request_queue_size = 1024


class Threading(socketserver.ThreadingMixIn, Sync):
    pass


class Forking(socketserver.ForkingMixIn, Sync):
    pass


options = argparse.ArgumentParser()
options.add_argument("--strategy")
options.add_argument("--mode")
options.add_argument("--addr")
options = options.parse_args()

handler = {"once": Once, "echo": Echo, "reply": Reply}[options.mode]
kind = {"sync": Sync, "threading": Threading, "forking": Forking}[options.strategy]
host, port = options.addr.rsplit(":", 1)
server = kind((host, int(port)), handler)


def stop(*_):
    # It waits for the loop, which is on the thread that has just been interrupted.
    threading.Thread(target=server.shutdown).start()


signal.signal(signal.SIGTERM, stop)
print("LISTENING %s:%s" % server.server_address, flush=True)
server.serve_forever()
print("finishing what is in flight", file=sys.stderr, flush=True)
server.server_close()
