"""Unit tests of the plug-in with the SDK alone; no agent runs. PYTHONPATH holds the SDK and this template's folder."""
import os
import shutil
import tempfile
import unittest
import uuid

from OSCPlugin import (
    CreateSnapFailedEx, InvalidStorageArrayEx, MissingKeyEx, OperationFailedEx, OperationPreReqNotMetEx,
    StorageElementBusyEx, ValueFormatEx)

from acme.sample.Shelf import Shelf


class ShelfTest(unittest.TestCase):
    def setUp(self):
        self.path = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.path)
        self.ss = {"uuid": str(uuid.uuid4()), "name": "shelf", "extra_info": "path=" + self.path}

    def names(self):
        return [element["name"] for element in Shelf.list(self.ss)]

    def create(self, name="data", size=1 << 20):
        return Shelf.create(self.ss, {"name": name, "size": size})

    def write(self, element, data):
        with open(os.path.join(self.path, element["id"]), "r+b") as file:
            file.write(data)

    def read(self, element, length):
        with open(os.path.join(self.path, element["id"]), "rb") as file:
            return file.read(length)

    def test_what_was_created_is_listed_with_its_size(self):
        created = self.create(size=4096)
        self.assertEqual(Shelf.list(self.ss), [created])
        self.assertEqual((created["se_type"], created["size"]), ("LUN", 4096))
        Shelf.remove(self.ss, created)
        self.assertEqual(Shelf.list(self.ss), [])

    def test_a_snapshot_keeps_what_was_there_and_brings_it_back(self):
        data = self.create()
        self.write(data, b"before")
        snap = Shelf.createSnap(self.ss, data, "s1")
        self.write(data, b"after ")
        self.assertEqual(Shelf.getCurrentSnaps(self.ss, data), [snap])
        self.assertEqual((snap["se_type"], self.read(snap, 6)), ("Snap", b"before"))
        Shelf.snapRestore(self.ss, data, snap)
        self.assertEqual(self.read(data, 6), b"before")
        self.assertRaises(CreateSnapFailedEx, Shelf.createSnap, self.ss, data, "s1")
        self.assertRaises(StorageElementBusyEx, Shelf.remove, self.ss, data)
        Shelf.snapRemove(self.ss, snap)
        Shelf.remove(self.ss, data)
        self.assertEqual(os.listdir(self.path), [])

    def test_an_element_grows(self):
        self.assertEqual(Shelf.resize(self.ss, self.create(size=4096), 8192)["size"], 8192)

    def test_a_listing_is_cached_until_something_changes(self):
        self.create("one")
        self.assertEqual(self.names(), ["one"])
        open(os.path.join(self.path, "two"), "w").close()
        self.assertEqual(self.names(), ["one"])
        Shelf.refresh(self.ss)
        self.assertEqual(self.names(), ["one", "two"])

    def test_a_host_without_the_requirer_package_says_what_it_lacks(self):
        data, path = self.create(), os.environ["PATH"]
        os.environ["PATH"] = self.path
        try:
            self.assertRaises(OperationPreReqNotMetEx, Shelf.createSnap, self.ss, data, "s1")
        finally:
            os.environ["PATH"] = path
        self.assertEqual(self.names(), ["data"])

    def test_what_is_wrong_is_told_by_class_and_key(self):
        self.assertRaises(MissingKeyEx, Shelf.validate, dict(self.ss, extra_info=""))
        self.assertRaises(ValueFormatEx, Shelf.validate, dict(self.ss, extra_info="path=relative"))
        self.assertRaises(InvalidStorageArrayEx, Shelf.validate, dict(self.ss, extra_info="path=/nowhere"))
        self.assertRaises(ValueFormatEx, self.create, "../elsewhere")
        self.assertRaises(ValueFormatEx, Shelf.getInfo, self.ss, {"id": "../elsewhere"})
        self.assertRaises(OperationFailedEx, Shelf.getInfo, self.ss, {"id": "absent"})
        self.assertRaises(ValueFormatEx, self.create, "data", "large")
        self.create("data")
        self.assertRaises(OperationFailedEx, self.create, "data")


if __name__ == "__main__":
    unittest.main()
