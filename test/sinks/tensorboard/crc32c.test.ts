import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32c, maskedCrc32c } from '../../../src/sinks/tensorboard/crc32c.ts'

test('CRC-32C gives the values that RFC 3720 lists', () => {
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa)
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43)
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e)
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, index) => 31 - index)), 0x113fdb5c)
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283)
  assert.equal(crc32c(new Uint8Array(0)), 0)
})

test('every start and length agrees with the checksum taken bit by bit', () => {
  const bytes = Uint8Array.from({ length: 70 }, (_, index) => (index * 167 + 13) & 0xff)
  for (let start = 0; start < 10; start++) {
    for (let end = start; end <= bytes.length; end++) {
      assert.equal(crc32c(bytes, start, end), bitByBit(bytes.subarray(start, end)))
    }
  }
})

test('the mask rotates by 15 bits and adds the constant of event files', () => {
  // The length field of the 24-byte first record of every old event file.
  assert.equal(maskedCrc32c(Uint8Array.of(0x18, 0, 0, 0, 0, 0, 0, 0), 0, 8), 0x224b7fa3)
})

function bitByBit(bytes: Uint8Array): number {
  let crc = -1
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return ~crc >>> 0
}
