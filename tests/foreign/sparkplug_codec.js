// Read payloads with npm `sparkplug-payload` and write them again: one line of base64 in, one line of JSON out.
'use strict';

const readline = require('readline');
const { createRequire } = require('module');
const load = createRequire(process.env.FOREIGN + '/');
const sparkplug = load('sparkplug-payload').get('spBv1.0');

readline.createInterface({ input: process.stdin }).on('line', (line) => {
    const payload = sparkplug.decodePayload(Buffer.from(line, 'base64'));
    const again = Buffer.from(sparkplug.encodePayload(payload)).toString('base64');
    const seen = (payload.metrics || []).map((metric) => [
        metric.name || '',
        metric.type,
        metric.value === null || metric.value === undefined ? null
            : metric.value instanceof Uint8Array ? Buffer.from(metric.value).toString('hex') : String(metric.value),
        metric.isHistorical === true,
    ]);
    process.stdout.write(JSON.stringify({ seq: String(payload.seq), seen, again }) + '\n');
});
