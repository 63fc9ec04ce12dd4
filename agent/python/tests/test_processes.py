"""What becomes of processes: calls are apart from each other, leave nothing behind, and end with the worker."""
import os
import signal
import threading
import time
import unittest

import reference_agent
from reference_agent import Worker, alive, gone


class Processes(unittest.TestCase):
    def setUp(self):
        self.worker = Worker("acme.rig")
        self.addCleanup(self.worker.close)

    def start(self, behaviour, more=None):
        connection = self.worker.connect()
        connection.call("getInfo", [["ss_record", dict(more or {}, do=behaviour)], ["se_record", None]])
        return connection

    def hello(self, connection):
        return connection.read()["hello"]["pid"]

    def test_calls_do_not_see_each_other_s_globals(self):
        self.assertEqual([self.worker.do("count").result for _ in range(3)], [1, 1, 1])

    def test_calls_run_side_by_side(self):
        connections = [self.start("sleeps", {"seconds": 0.5}) for _ in range(8)]
        pids = [self.hello(connection) for connection in connections]
        self.assertEqual([connection.read()["log"]["message"] for connection in connections], ["asleep"] * 8)
        self.assertEqual(len([pid for pid in pids if alive(pid)]), 8)
        self.assertEqual([connection.finish({}).result for connection in connections], ["awake"] * 8)

    def test_a_hundred_callers_at_once_are_all_served(self):
        results = []

        def caller():
            for _ in range(5):
                results.append(self.worker.do("count").result)

        callers = [threading.Thread(target=caller) for _ in range(20)]
        for thread in callers:
            thread.start()
        for thread in callers:
            thread.join()
        self.assertEqual(results, [1] * 100)

    def test_random_numbers_differ_from_call_to_call(self):
        self.assertEqual(len(set(self.worker.do("draws").result for _ in range(5))), 5)

    def test_a_call_that_dies_ends_its_connection_and_nothing_else(self):
        for behaviour in ("exits_hard", "kills_itself", "closes_everything"):
            outcome = self.worker.do(behaviour)
            self.assertTrue(outcome.pid)
            self.assertEqual(outcome.ended, 0, behaviour)
        self.assertEqual(self.worker.do("count").result, 1)

    def test_a_killed_call_ends_its_connection(self):
        connection = self.start("sleeps", {"seconds": 3600})
        pid = self.hello(connection)
        connection.read()
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(connection.finish({}).ended, 0)
        self.assertTrue(gone(pid))

    def test_a_plug_in_that_forks_and_returns_answers_once(self):
        outcome = self.worker.do("forks_and_returns")
        self.assertEqual((outcome.result, outcome.ended), ("once", 1))

    def test_a_forked_copy_of_a_call_does_not_talk_into_it(self):
        outcome = self.worker.do("forks_and_talks")
        self.assertIsNone(outcome.result)
        self.assertEqual(len(outcome.logs), 100)
        self.assertFalse([message for _, message in outcome.logs if "other" in message])

    def test_threads_left_behind_do_not_delay_the_end(self):
        outcome = self.worker.do("leaves_thread")
        self.assertEqual(outcome.result, "done")
        self.assertTrue(gone(outcome.pid))

    def test_children_die_with_their_call(self):
        self.assertTrue(gone(self.worker.do("leaves_child").result))

    def test_daemons_and_their_children_die_with_their_call(self):
        for pid in self.worker.do("leaves_daemons").result:
            self.assertTrue(gone(pid))

    def test_daemons_die_with_a_call_that_crashed_or_was_killed(self):
        outcome = self.worker.do("leaves_daemons", {"crash": True})
        for pid in outcome.logs[0][1].split():
            self.assertTrue(gone(int(pid)))
        connection = self.start("leaves_daemons", {"hang": True})
        call = self.hello(connection)
        pids = [int(pid) for pid in connection.read()["log"]["message"].split()]
        self.assertTrue(all(alive(pid) for pid in pids))
        os.kill(call, signal.SIGKILL)
        for pid in pids:
            self.assertTrue(gone(pid))

    def test_the_end_of_one_call_spares_the_daemons_of_another(self):
        connection = self.start("leaves_daemons", {"hang": True})
        call = self.hello(connection)
        pids = [int(pid) for pid in connection.read()["log"]["message"].split()]
        for _ in range(5):
            self.worker.do("leaves_daemons")
        self.assertTrue(all(alive(pid) for pid in pids))
        os.kill(call, signal.SIGKILL)
        self.assertTrue(gone(pids[0]))

    def test_no_zombies_are_left(self):
        for _ in range(5):
            self.worker.do("leaves_daemons")
            self.worker.do("count")
        path = "/proc/%d/task/%d/children" % (self.worker.pid, self.worker.pid)
        deadline = time.time() + reference_agent.PATIENCE
        while time.time() < deadline:
            with open(path) as children:
                left = children.read().split()
            # The process at hand for the next call is not left from any.
            if len(left) <= 1:
                break
            time.sleep(0.01)
        self.assertEqual(len(left), 1)
        self.assertEqual(self.hello(self.worker.connect()), int(left[0]))

    def test_a_connection_without_a_call_is_forgotten(self):
        connection = self.worker.connect()
        pid = self.hello(connection)
        connection.reader.close()
        connection.socket.close()
        self.assertTrue(gone(pid))

    def test_an_agent_that_hangs_up_ends_a_call_that_answers(self):
        connection = self.start("huge")
        pid = self.hello(connection)
        connection.reader.close()
        connection.socket.close()
        self.assertTrue(gone(pid))
        self.assertEqual(self.worker.do("count").result, 1)

    def test_told_to_stop_it_lets_running_calls_finish_and_takes_no_more(self):
        connection = self.start("sleeps", {"seconds": 1})
        self.hello(connection)
        connection.read()
        os.kill(self.worker.pid, signal.SIGTERM)
        self.assertEqual(connection.finish({}).result, "awake")
        self.assertEqual(self.worker.wait(), 0)
        with self.assertRaises((OSError, IOError)):
            self.worker.connect()

    def test_idle_it_stops_at_once(self):
        os.kill(self.worker.pid, signal.SIGTERM)
        self.assertEqual(self.worker.wait(), 0)

    def test_interrupting_the_agent_s_terminal_does_not_end_it(self):
        os.kill(self.worker.pid, signal.SIGINT)
        self.assertEqual(self.worker.do("count").result, 1)

    def test_killed_it_takes_its_calls_along(self):
        connection = self.start("sleeps", {"seconds": 3600})
        pid = self.hello(connection)
        os.kill(self.worker.pid, signal.SIGKILL)
        self.assertTrue(gone(pid))
        self.worker.wait()

    def test_with_the_agent_die_the_worker_its_calls_and_their_daemons(self):
        read, write = os.pipe()
        agent = os.fork()
        if agent == 0:
            try:
                worker = Worker("acme.rig")
                connection = worker.connect()
                connection.call("getInfo", [["ss_record", {"do": "leaves_daemons", "hang": True}], ["se_record", None]])
                call = connection.read()["hello"]["pid"]
                daemons = connection.read()["log"]["message"]
                os.write(write, ("%d %d %s\n" % (worker.pid, call, daemons)).encode("ascii"))
                time.sleep(3600)
            finally:
                os._exit(1)
        line = b""
        while not line.endswith(b"\n"):
            line += os.read(read, 1000)
        os.kill(agent, signal.SIGKILL)
        os.waitpid(agent, 0)
        for pid in line.split():
            self.assertTrue(gone(int(pid)))

    def test_the_end_of_the_thread_that_started_it_is_not_the_agent_s(self):
        workers = []
        starter = threading.Thread(target=lambda: workers.append(Worker("acme.rig")))
        starter.start()
        starter.join()
        self.addCleanup(workers[0].close)
        self.assertEqual([workers[0].do("count").result for _ in range(3)], [1, 1, 1])

    def test_everything_printed_reaches_the_agent(self):
        self.worker.do("prints")
        self.worker.close()
        output, errors = self.worker.output
        self.assertIn(b"to standard output\n", output)
        self.assertIn(u"Gr\xf6\xdfe \u20ac\n".encode("utf-8"), output)
        self.assertIn(b"no newline", output)
        self.assertIn(b"to standard error\n", errors)


if __name__ == "__main__":
    unittest.main()
