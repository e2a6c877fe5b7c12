"""Python's half of the differential test: serves two requests and writes down its hooks.

    server.py tcp|udp sync|threading|forking DIRECTIVE,... TRACE

The first request follows the directives, the second is an ordinary one. `main.rs` says what the
directives are, `rust_side.rs` is the twin of this file.
"""

import os
import socketserver
import sys
import threading

transport, strategy, directives, trace_path = sys.argv[1:]
directives = directives.split(",")
# One write(2) with O_APPEND for each line, so that the lines of forked children land whole.
trace = os.open(trace_path, os.O_WRONLY | os.O_APPEND)


def here():
    return os.getpid(), threading.get_ident()


loop = here()


def note(number, hook):
    place = "loop" if here() == loop else "worker"
    os.write(trace, f"{number} {place} {hook}\n".encode())


def is_told(number, directive):
    return number == 1 and directive in directives


def fail_if_told(number, place):
    if is_told(number, f"{place}:error"):
        raise RuntimeError(f"error in {place}")
    if is_told(number, f"{place}:exit"):
        raise SystemExit(f"exit in {place}")


def enter(number, hook):
    note(number, hook)
    fail_if_told(number, hook)


def key(request):
    """What tells requests apart while they are open: nothing that would keep them open."""
    return request[0] if transport == "udp" else request.fileno()


class Traced:
    taken = 0
    stopping = None

    def __init__(self, *args):
        self.numbers = {}
        super().__init__(*args)

    def number(self, request):
        return self.numbers[key(request)]

    def get_request(self):
        request, client_address = super().get_request()
        self.taken += 1
        self.numbers[key(request)] = self.taken
        note(self.taken, "get_request")
        return request, client_address

    def verify_request(self, request, client_address):
        number = self.number(request)
        enter(number, "verify_request")
        return not is_told(number, "reject")

    def handle_error(self, request, client_address):
        number = self.number(request)
        error = sys.exc_info()[1]
        what = "peer gone" if isinstance(error, ConnectionError) else error
        note(number, f"handle_error({what})")
        fail_if_told(number, "handle_error")

    def shutdown_request(self, request):
        note(self.number(request), "shutdown_request")
        super().shutdown_request(request)

    def close_request(self, request):
        note(self.number(request), "close_request")
        super().close_request(request)

    def service_actions(self):
        super().service_actions()
        if self.taken == 2 and self.stopping is None:
            # On this thread it would wait for itself for ever.
            self.stopping = threading.Thread(target=self.shutdown)
            self.stopping.start()


class Script:
    def setup(self):
        self.number = self.server.number(self.request)
        super().setup()
        enter(self.number, "setup")

    def handle(self):
        note(self.number, "handle")
        line = b"" if is_told(self.number, "deaf") else self.rfile.readline()
        if not is_told(self.number, "mute"):
            self.wfile.write(b"you said " + line)
        fail_if_told(self.number, "handle")

    def finish(self):
        enter(self.number, "finish")
        super().finish()
        fail_if_told(self.number, "the end of finish")


MIXINS = {
    "sync": (),
    "threading": (socketserver.ThreadingMixIn,),
    "thread_pool": (socketserver.ThreadingMixIn,),
    "forking": (socketserver.ForkingMixIn,),
}
if transport == "udp":
    base, handler_base = socketserver.UDPServer, socketserver.DatagramRequestHandler
else:
    base, handler_base = socketserver.TCPServer, socketserver.StreamRequestHandler

Server = type("Server", (Traced, *MIXINS[strategy], base), {})
Handler = type("Handler", (Script, handler_base), {})
if "buffered" in directives:
    Handler.wbufsize = 4096

with Server(("127.0.0.1", 0), Handler) as server:
    print("LISTENING %s:%s" % server.server_address, flush=True)
    # The peers connect and say what they have to say before anything is served.
    sys.stdin.readline()
    try:
        server.serve_forever(0.05)
    except BaseException as error:
        note(0, f"raised {type(error).__name__}")
    else:
        note(0, "returned")
    # Datagrams are answered through the server's socket: closing it first would cut off answers.
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()
