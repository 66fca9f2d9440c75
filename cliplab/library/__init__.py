"""Which videos a library holds, on disks and in storages."""
