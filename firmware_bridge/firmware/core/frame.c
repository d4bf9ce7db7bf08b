#include "frame.h"

uint32_t frame_crc32(const uint8_t *bytes, size_t n)
{
    /* Half-byte table: 64 bytes of flash instead of 1 KiB, fast enough for 1 Mbaud. */
    static const uint32_t table[16] = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
        0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
    };
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        crc = (crc >> 4) ^ table[crc & 15u];
        crc = (crc >> 4) ^ table[crc & 15u];
    }
    return ~crc;
}

size_t cobs_encode(const uint8_t *in, size_t n, uint8_t *out)
{
    size_t code_at = 0, length = 1;
    uint8_t code = 1;
    for (size_t i = 0; i < n; i++) {
        if (code == 0xFF) {
            out[code_at] = code;
            code_at = length++;
            code = 1;
        }
        if (in[i]) {
            out[length++] = in[i];
            code++;
        } else {
            out[code_at] = code;
            code_at = length++;
            code = 1;
        }
    }
    out[code_at] = code;
    return length;
}

size_t cobs_decode(uint8_t *bytes, size_t n)
{
    size_t read = 0, length = 0;
    while (read < n) {
        uint8_t code = bytes[read++];
        if (!code || (size_t)(code - 1) > n - read) return 0;
        for (uint8_t i = 1; i < code; i++) {
            if (!bytes[read]) return 0;
            bytes[length++] = bytes[read++];
        }
        if (code != 0xFF && read < n) bytes[length++] = 0;
    }
    return length;
}
