import QtQuick
import Firstshift
import ".."

// One entry of a control chart's legend: shape, word, how often; as wide as it is told.
Row {
    id: key

    property string shape
    property string text

    spacing: 1.5 * Theme.mm

    Canvas {
        id: sign
        anchors.verticalCenter: parent.verticalCenter
        width: 5.5 * Theme.mm
        height: 5.5 * Theme.mm
        onPaint: {
            const pen = getContext("2d");
            pen.reset();
            Shapes.draw(pen, key.shape, width / 2, height / 2, 1.9 * Theme.mm, key.shape === "beyond" ? Theme.alarm : Theme.warning, Theme.text);
        }
        Connections {
            target: Theme
            function onChanged() { sign.requestPaint(); }
        }
    }
    Label {
        anchors.verticalCenter: parent.verticalCenter
        width: key.width - sign.width - key.spacing
        text: key.text
        size: Theme.small
    }
}
