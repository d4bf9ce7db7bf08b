/* COBS and CRC-32 frames: 0x00 | COBS(ver_id, flags, seq, ack, payload, crc32 LE) | 0x00. */
#ifndef FRAME_H
#define FRAME_H
#include <stddef.h>
#include <stdint.h>

#define FRAME_RELIABLE 1u /* seq is valid and wants an acknowledgement */
#define FRAME_ACK 2u      /* ack is valid: the last reliable frame taken in order */
#define FRAME_NAK 4u      /* a reliable frame came out of order: send again from ack + 1 */

/* CRC-32 of ISO-HDLC (polynomial 0xEDB88320 reflected), as in zlib. */
uint32_t frame_crc32(const uint8_t *bytes, size_t n);
/* Encode n bytes without delimiters; `out` needs n + n / 254 + 1 bytes; gives the length. */
size_t cobs_encode(const uint8_t *in, size_t n, uint8_t *out);
/* Decode in place; gives the length, or 0 for a damaged block. */
size_t cobs_decode(uint8_t *bytes, size_t n);
#endif
