"""Holds the example VM agent against the truth, step by step as told on standard input: `vm_agent_trial.py ADDRESS`.

    same     wait until it knows what the agent on the bus knows; answers how often it had to ask for everything
    gone     wait until it has noticed that the agent is gone
    gap      stand in for the agent, miss out some events, and see that it asks again
"""
import sys
import time

from gi.repository import Gio, GLib

from vm_agent import NAME, ROOT, VmAgent, connect

def until(what, look, more=lambda: ""):
    deadline = time.time() + 60
    while time.time() < deadline:
        while GLib.MainContext.default().iteration(False):
            pass
        if look():
            return
        time.sleep(0.02)
    raise SystemExit("waited a minute for %s; %s" % (what, more()))


class Trial(object):
    def __init__(self, address):
        self.address = address
        self.agent = VmAgent(connect(address))
        self.truth = 0, {}

    def same(self):
        asking = connect(self.address)

        def look():
            if not self.agent.there:
                return False
            answer = asking.call_sync(NAME, ROOT, NAME + ".Manager", "GetState", None, None, 0, 60000, None)
            seq, objects = answer.unpack()
            self.truth = seq, objects
            # By its annotation this one changes without being told.
            for interfaces in list(objects.values()) + list(self.agent.objects.values()):
                interfaces.get(NAME + ".StorageServer", {}).pop("State", None)
            self.read_again(objects)
            return self.agent.seq == seq and self.agent.objects == objects

        until("the same state", look, self.differences)
        return "%d %d" % (self.agent.loads, len(self.agent.objects))

    def read_again(self, objects):
        """Has it ask for what it knows to have changed, without knowing to what."""
        for path, interfaces in self.agent.objects.items():
            for interface, properties in interfaces.items():
                for name in set(objects.get(path, {}).get(interface, {})) - set(properties):
                    self.agent.value(path, interface, name)

    def differences(self):
        seq, objects = self.truth
        told = ["event %d, is %d" % (self.agent.seq, seq)]
        for path in sorted(set(objects) | set(self.agent.objects)):
            known, true = self.agent.objects.get(path), objects.get(path)
            if known != true:
                told.append("%s: %r, is %r" % (path, known, true))
        return "; ".join(told[:4])

    def gone(self):
        until("the agent to be gone", lambda: not self.agent.there)
        return "%d" % len(self.agent.objects)

    def gap(self):
        bus = connect(self.address)
        state = {"seq": 5, "asked": 0}

        def answer(*_):
            state["asked"] += 1
            return state["seq"], {}

        # It would wait for an answer of this very thread.
        self.agent._call = answer
        Gio.bus_own_name_on_connection(bus, NAME, Gio.BusNameOwnerFlags.NONE, None, None)
        until("the stand-in", lambda: self.agent.there)
        asked = []
        for seq, kind in [(6, "changed"), (7, "changed"), (11, "changed"), (12, "resync"), (13, "changed")]:
            state["seq"] = seq
            bus.emit_signal(None, ROOT, NAME + ".Manager", "Event", GLib.Variant("(tsos)", (seq, kind, ROOT, "{}")))
            until("event %d" % seq, lambda: self.agent.seq >= seq)
            asked.append(str(state["asked"]))
        return " ".join(asked)


if __name__ == "__main__":
    trial = Trial(sys.argv[1])
    for line in sys.stdin:
        print(getattr(trial, line.strip())(), flush=True)
