import QtQuick
import Firstshift
import ".."

// A control chart: values with centre and limits; what breaks a rule has a shape of its own, on a larger mark.
// points: [{ value, low, high, average, shape, astray }] in units of the axis; a value of null is a gap. Time runs to the right.
Item {
    id: chart

    property var points: []
    property real floor: 0
    property real ceiling: 1
    property real centre: 0
    property int basis: 0
    property var ticks: []
    property var times: []
    property string name
    readonly property real margin: 26 * Theme.mm
    readonly property real foot: 6 * Theme.mm

    LayoutMirroring.enabled: false
    LayoutMirroring.childrenInherit: true
    Accessible.role: Accessible.Chart
    Accessible.name: name

    function across(place) {
        return paper.width * (place + 0.5) / Math.max(1, points.length);
    }
    function down(value) {
        return paper.height * (1 - (value - floor) / Math.max(1e-12, ceiling - floor));
    }

    Canvas {
        id: paper
        anchors { fill: parent; leftMargin: chart.margin; bottomMargin: chart.foot }

        onPaint: {
            const pen = getContext("2d");
            pen.reset();
            if (chart.basis > 0) {
                pen.fillStyle = Theme.card;
                pen.fillRect(0, 0, chart.across(chart.basis - 0.5), height);
            }
            rule(pen, [{ x: 0, y: chart.down(chart.centre) }, { x: width, y: chart.down(chart.centre) }], 1, Theme.line, []);
            limit(pen, "low");
            limit(pen, "high");
            line(pen, "average", 1.2, [6, 4]);
            line(pen, "value", 2, []);
            chart.points.forEach((point, place) => mark(pen, point, chart.across(place)));
        }
        function rule(pen, spots, thick, colour, dash) {
            pen.beginPath();
            pen.setLineDash(dash);
            pen.lineWidth = thick;
            pen.strokeStyle = colour;
            spots.forEach((spot, place) => place === 0 ? pen.moveTo(spot.x, spot.y) : pen.lineTo(spot.x, spot.y));
            pen.stroke();
        }
        function limit(pen, key) {
            const half = width / Math.max(1, chart.points.length) / 2;
            const spots = [];
            chart.points.forEach((point, place) => {
                if (point[key] !== undefined && point[key] !== null) {
                    const y = Math.max(0, Math.min(height, chart.down(point[key])));
                    spots.push({ x: chart.across(place) - half, y: y }, { x: chart.across(place) + half, y: y });
                }
            });
            rule(pen, spots, 1.5, Theme.text, [2, 3]);
        }
        function line(pen, key, thick, dash) {
            let run = [];
            chart.points.forEach((point, place) => {
                if (point[key] === undefined || point[key] === null) {
                    rule(pen, run, thick, Theme.text, dash);
                    run = [];
                } else {
                    run.push({ x: chart.across(place), y: chart.down(point[key]) });
                }
            });
            rule(pen, run, thick, Theme.text, dash);
        }
        function mark(pen, point, x) {
            if (point.value === undefined || point.value === null)
                return;
            if (point.astray)
                Shapes.draw(pen, "astray", x, chart.down(point.average), 1.5 * Theme.mm, Theme.warning, Theme.text);
            const y = chart.down(point.value);
            const size = point.shape === "" ? 0.8 * Theme.mm : 1.9 * Theme.mm;
            Shapes.draw(pen, point.shape === "" ? "dot" : point.shape, x, y, size, point.shape === "beyond" ? Theme.alarm : point.shape === "" ? Theme.text : Theme.warning, Theme.text);
        }
    }
    Connections {
        target: chart
        function onPointsChanged() { paper.requestPaint(); }
        function onCeilingChanged() { paper.requestPaint(); }
        function onFloorChanged() { paper.requestPaint(); }
        function onBasisChanged() { paper.requestPaint(); }
        function onCentreChanged() { paper.requestPaint(); }
    }
    Connections {
        target: Theme
        function onChanged() { paper.requestPaint(); }
    }
    Repeater {
        model: chart.ticks

        Label {
            required property var modelData
            x: 0
            y: Math.max(0, Math.min(paper.height - height, chart.down(modelData.at) - height / 2))
            width: chart.margin - Theme.mm
            horizontalAlignment: Text.AlignRight
            text: modelData.text
            size: Theme.small
        }
    }
    Repeater {
        model: chart.times

        Label {
            required property var modelData
            x: Math.max(chart.margin, Math.min(chart.width - width, chart.margin + chart.across(modelData.place) - width / 2))
            y: chart.height - height
            text: modelData.text
            size: Theme.small
        }
    }
}
