// Play a Sparkplug primary host on programs that are not ours: npm `mqtt` and `sparkplug-payload`.
//
//   node sparkplug_host.js PORT GROUP HOST_ID
//
// Wishes come as words on stdin (online, offline, rebirth, write, quit); each message is told as a line of JSON on
// stdout, with names instead of aliases. On quit: how often each rule held, by the id of the test kit, and what broke it.
'use strict';

const readline = require('readline');
const { createRequire } = require('module');
const load = createRequire(process.env.FOREIGN + '/');
const mqtt = load('mqtt');
const sparkplug = load('sparkplug-payload').get('spBv1.0');

const [port, group, host] = process.argv.slice(2);
const stateTopic = `spBv1.0/STATE/${host}`;
const held = {};
const broken = {};
let online = false;
let birthTime = 0;
let wantsOnline = false;
const nodes = {};

function tell(event) {
    process.stdout.write(JSON.stringify(event, (_, value) =>
        typeof value === 'bigint' ? Number(value) : value) + '\n');
}

function number(value) {
    if (value === null || value === undefined) return null;
    return typeof value === 'object' && 'toNumber' in value ? value.toNumber() : value;
}

function check(id, holds, text) {
    if (holds) held[id] = (held[id] || 0) + 1;
    else (broken[id] = broken[id] || []).push(text);
}

function state(isOnline) {
    return JSON.stringify({ online: isOnline, timestamp: birthTime });
}

birthTime = Date.now();
const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, {
    protocolVersion: 5,
    clientId: `host-${host}`,
    clean: true,
    reconnectPeriod: 100,
    will: { topic: stateTopic, payload: state(false), qos: 1, retain: true },
});

function sayState() {
    client.publish(stateTopic, state(online), { qos: 1, retain: true });
}

client.on('connect', () => {
    client.subscribe([`spBv1.0/${group}/#`, stateTopic], { qos: 1 }, () => {
        online = wantsOnline;
        if (online) sayState();
        tell({ event: 'connected' });
    });
});
client.on('error', () => {});

function nodeOf(name) {
    nodes[name] = nodes[name] || { seq: null, bdSeq: null, born: false, devices: {}, names: {} };
    return nodes[name];
}

client.on('message', (topic, raw, packet) => {
    if (topic === stateTopic) return;
    const [namespace, groupId, kind, nodeId, deviceId] = topic.split('/');
    if (kind === 'NCMD' || kind === 'DCMD') return;
    const text = `${topic} after ${JSON.stringify(nodes[nodeId] && nodes[nodeId].seq)}`;
    let payload;
    try {
        payload = sparkplug.decodePayload(raw);
    } catch (error) {
        check('message-flow-edge-node-birth-publish-nbirth-payload', false, `${topic}: ${error}`);
        return;
    }
    const node = nodeOf(nodeId);
    const seq = number(payload.seq);
    const isBirth = kind.endsWith('BIRTH');
    const isData = kind.endsWith('DATA');
    let gap = false;
    check('topic-structure-namespace-a', namespace === 'spBv1.0', text);
    check('intro-group-id-string', groupId === group, text);
    if (kind.startsWith('D')) {
        check('topic-structure-namespace-device-id-associated-message-types', deviceId !== undefined, text);
    } else {
        check('topic-structure-namespace-device-id-non-associated-message-types', deviceId === undefined, text);
    }
    if (kind === 'NDEATH') {
        check('payloads-ndeath-seq', payload.seq === undefined || payload.seq === null, text);
        check('topics-ndeath-payload', payload.metrics.length === 1 && payload.metrics[0].name === 'bdSeq', text);
        check('payloads-ndeath-bdseq', node.bdSeq === null || number(payload.metrics[0].value) === node.bdSeq
            || !node.born, text);
        if (number(payload.metrics[0].value) === node.bdSeq) node.born = false;
    } else {
        const lower = kind.toLowerCase();
        check(`payloads-${lower}-qos`, packet.qos === 0, text);
        check(`payloads-${lower}-retain`, packet.retain === false, text);
        check(`payloads-${lower}-timestamp`, number(payload.timestamp) > 1.7e12, text);
        check('payloads-sequence-num-always-included', seq !== null && seq >= 0 && seq <= 255, text);
        if (kind === 'NBIRTH') {
            check('payloads-sequence-num-zero-nbirth', seq === 0, text);
            node.born = true;
            node.names = {};
            node.devices = {};
            const bdSeq = payload.metrics.find((metric) => metric.name === 'bdSeq');
            check('payloads-nbirth-bdseq', bdSeq !== undefined && bdSeq.type === 'Int64', text);
            node.bdSeq = number(bdSeq.value);
            const rebirth = payload.metrics.find((metric) => metric.name === 'Node Control/Rebirth');
            check('payloads-nbirth-rebirth-req', rebirth && rebirth.value === false && rebirth.type === 'Boolean', text);
            check('message-flow-edge-node-birth-publish-phid-wait', online, text);
        } else {
            gap = node.seq !== null && seq !== (node.seq + 1) % 256;
            check('payloads-sequence-num-incrementing', !gap, `${text} got ${seq}`);
            check(`payloads-${lower}-order`, node.born && (kind !== 'DDATA' || node.devices[deviceId]), text);
        }
        node.seq = seq;
        if (kind === 'DBIRTH') node.devices[deviceId] = true;
        if (kind === 'DDEATH') delete node.devices[deviceId];
    }
    const metrics = [];
    for (const metric of payload.metrics || []) {
        const alias = number(metric.alias);
        if (isBirth) {
            check('payloads-metric-datatype-req', metric.type !== undefined, `${text} ${metric.name}`);
            check('payloads-name-requirement', Boolean(metric.name), `${text} ${alias}`);
            if (alias !== null) {
                check('payloads-alias-uniqueness', !(alias in node.names), `${text} ${alias}`);
                node.names[alias] = metric.name;
            }
        }
        if (isData) {
            check('payloads-alias-data-cmd-requirement', alias !== null && !metric.name, `${text} ${metric.name}`);
            check('operational-behavior-data-publish-dbirth', alias in node.names, `${text} ${alias}`);
        }
        if (isBirth || isData) {
            check('payloads-name-birth-data-requirement', number(metric.timestamp) > 1.7e12, `${text} ${alias}`);
        }
        metrics.push({
            name: metric.name || node.names[alias], alias, type: metric.type, value: number(metric.value),
            historical: metric.isHistorical === true, timestamp: number(metric.timestamp),
        });
    }
    tell({ event: 'message', kind, node: nodeId, device: deviceId, seq, gap, metrics });
});

function command(kind, name, value) {
    const payload = { timestamp: Date.now(), metrics: [{ name, type: 'Boolean', value }] };
    for (const nodeId of Object.keys(nodes)) {
        const tail = kind === 'DCMD' ? `${nodeId}/inspection` : nodeId;
        client.publish(`spBv1.0/${group}/${kind}/${tail}`, Buffer.from(sparkplug.encodePayload(payload)), { qos: 0 });
    }
}

const wishes = {
    online() { online = wantsOnline = true; birthTime = Date.now(); sayState(); },
    offline() { online = wantsOnline = false; sayState(); },
    rebirth() { command('NCMD', 'Node Control/Rebirth', true); },
    write() { command('NCMD', 'Health/Condition', true); command('DCMD', 'Line/Ready', true); },
    quit() {
        tell({ event: 'summary', held, broken });
        client.end(true, {}, () => process.exit(0));
    },
};

readline.createInterface({ input: process.stdin }).on('line', (line) => {
    if (wishes[line]) wishes[line]();
}).on('close', () => process.exit(0));
