// Package journal is an append-only log on disk with group commit: what durable queues and retained streams stand on.
//
// # Files
//
// A log is a directory:
//
//	journal                          text: format and identity of the log; locked while a Log has it open
//	NUMBER-BASE.seg                  a segment: NUMBER grows by one for each, BASE is the address of its first byte of data; both hexadecimal
//	NUMBER-BASE.new                  a segment that is not in force yet, or one kept in reserve; its content does not count
//	aside/NUMBER-BASE.seg            a damaged segment as it was found; nothing here is ever removed by this package
//
// A record's address (Position) counts bytes from the beginning of the log's life and is never used twice by what is in
// force. A segment holds the addresses from its BASE up to the BASE of the next one; what an earlier file has at or above
// the BASE of a later one is void. So what was written to a file whose sync failed is written anew to a file that begins
// where the promises ended, and no position changes.
//
// All integers are little-endian. A segment begins with a header of 64 bytes:
//
//	 0  magic      8 bytes "DSATSEG\n"
//	 8  version    u32, 1
//	12  crc        u32, CRC32C of the header with this field 0
//	16  number     u64, as in the name
//	24  base       u64, as in the name
//	32  first      u64, every record in it has this sequence or a higher one
//	40  created    i64, wall clock, ns
//	48  epoch      u32, of the daemon that created it
//	52  size       u32, bytes of the file when it was made, divided by 8; it is shorter when something was written after it, or it was closed
//	56  identity   u64, of the log, random
//
// A header that is damaged is made good by the name and by the file "journal". Then records, each at a multiple of 8:
//
//	 0  length     u32, bytes of body
//	 4  body crc   u32, CRC32C of the body
//	 8  seq        u64, grows by one
//	16  time       i64, wall clock, ns
//	24  kind       u8, the owner's; 255 is a mark
//	25  reserved   3 bytes, 0
//	28  header crc u32, CRC32C of the bytes before it, begun with identity and address: a record copied to another place is none
//	32  body, then zeros up to the next multiple of 8
//
// A mark (kind 255) ends each batch. Its seq is the last one before it, its body has 24 bytes:
//
//	 0  begin      u64, address of the batch's first byte
//	 8  synced     u64, everything below this address was on disk, by fdatasync, before this mark was written
//	16  count      u32, records in the batch
//	20  batch crc  u32, CRC32C of all bytes from begin to this mark
//
// A mark with count 0 is the last thing that an orderly Close writes.
//
// # Promises
//
// A record counts as committed (Options.Committed) after an fdatasync that followed its write has succeeded, and after the
// name of its file is on disk. At Open everything below the highest synced address is proven to have been committed: damage
// there is corruption, the file is kept aside and all that is readable before and after is served. What comes after is the
// tail: intact records of it are served and written anew to the next segment before the old ones are let go, the rest is cut.
// A failed fdatasync is never repeated on the same file: the kernel has dropped the pages and would answer "fine".
package journal
