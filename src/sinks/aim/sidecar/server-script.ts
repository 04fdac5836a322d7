/**
 * What a repository's server runs: Aim's own application under uvicorn, in one Python process.
 *
 * - One for a repository, user and machine: it holds a file lock for its whole life, and the kernel frees that.
 * - It lives as long as somebody holds a lease, which is a connection to its second port, or its stdin while it
 *   starts. The kernel closes these of a killed process as well, so that nobody has to say goodbye.
 * - Where it is found is a file that it writes when it answers and removes before it ends.
 * - It stands in the process list by the name at the beginning of its text.
 *
 * Arguments: folder of the repository, path of lock, announcement and log without their endings, grace in seconds.
 * On stdout: one line of JSON, `{"ready": …}`, `{"busy": true}` or `{"failed": "…"}`.
 */
export const SERVER_SCRIPT = `# tracelet: server of an Aim repository
import sys
sys.path[:] = [entry for entry in sys.path if entry]  # nothing of the folder we were started in
import fcntl, json, os, selectors, socket, threading, time

folder, place, grace = sys.argv[1], sys.argv[2], float(sys.argv[3])
HOST = '127.0.0.1'

def say(**what):
    try:
        os.write(1, (json.dumps(what) + '\\n').encode())
    except OSError:
        pass

def bind(port):
    try:
        return socket.create_server((HOST, port))
    except OSError:
        return socket.create_server((HOST, 0))

def last_port():
    # of one that was killed: who used it finds this one there
    try:
        with open(place + '.json') as file:
            port = json.load(file)['port']
        os.unlink(place + '.json')
        return int(port)
    except Exception:
        return 0

def open_repository():
    from aim import Repo
    from aim.sdk.configs import get_aim_repo_name
    path = os.path.join(folder, get_aim_repo_name())
    fresh = not os.path.exists(os.path.join(path, 'VERSION'))
    if fresh:
        os.makedirs(folder, exist_ok=True)
    return Repo.from_path(folder, init=fresh).path

class Leases(threading.Thread):
    def __init__(self, door):
        super().__init__(daemon=True)
        self.door, self.server, self.hello = door, None, None
        self.selector = selectors.DefaultSelector()
        self.selector.register(door, selectors.EVENT_READ)
        self.selector.register(0, selectors.EVENT_READ)

    def run(self):
        alone_since = None
        while True:
            for key, _ in self.selector.select(0.05 if self.hello is None else 0.5):
                self.take() if key.fileobj is self.door else self.hear(key.fileobj)
            if self.hello is None and self.server is not None and self.server.started:
                self.announce()
            if len(self.selector.get_map()) > 1:
                alone_since = None
            elif alone_since is None:
                alone_since = time.monotonic()
            elif time.monotonic() - alone_since >= grace:
                return self.end()

    def take(self):
        try:
            lease, _ = self.door.accept()
            lease.settimeout(1)
            lease.sendall(self.hello)
            lease.setblocking(False)
            self.selector.register(lease, selectors.EVENT_READ)
        except Exception:
            pass

    def hear(self, lease):
        try:
            if os.read(0, 4096) if lease == 0 else lease.recv(4096):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.selector.unregister(lease)
        if lease != 0:
            lease.close()

    def announce(self):
        from importlib.metadata import version
        what = {'folder': folder, 'port': self.server.port, 'lease': self.door.getsockname()[1],
                'pid': os.getpid(), 'aim': version('aim')}
        self.hello = (json.dumps(what) + '\\n').encode()
        with open(place + '.tmp', 'wb') as file:
            file.write(self.hello)
        os.rename(place + '.tmp', place + '.json')
        say(ready=what)
        log = os.open(place + '.log', os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)

    def end(self):
        try:
            os.unlink(place + '.json')
        except OSError:
            pass
        self.door.close()
        if self.server is None or not self.server.started:
            os._exit(0)
        self.server.should_exit = True
        time.sleep(5)
        os._exit(0)

def main():
    lock = os.open(place + '.lock', os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return say(busy=True)
    leases = Leases(socket.create_server((HOST, 0)))
    leases.start()
    try:
        listening = bind(last_port())
        os.environ['__AIM_SERVER_MOUNT_REPO_PATH__'] = open_repository()
        os.environ.pop('__AIM_SERVER_BASE_PATH__', None)
        import uvicorn
        server = uvicorn.Server(uvicorn.Config(
            'aim.ext.transport.run:app', ws_max_size=1 << 30, log_level='warning', access_log=False,
            timeout_graceful_shutdown=2))
        server.port = listening.getsockname()[1]
        leases.server = server
        server.run(sockets=[listening])
    except BaseException as error:
        say(failed=type(error).__name__ + ': ' + str(error))
    try:
        if leases.hello is not None:
            os.unlink(place + '.json')
    except OSError:
        pass
    threading.Thread(target=lambda: (time.sleep(5), os._exit(0)), daemon=True).start()

main()
`
