import QtQuick
import Firstshift

Image {
    property string name
    property color colour: Theme.text
    property real size: 8 * Theme.mm

    width: size
    height: size
    sourceSize: Qt.size(Math.round(size), Math.round(size))
    source: name === "" ? "" : "image://icon/" + name + "/" + String(colour).slice(-6)
    fillMode: Image.PreserveAspectFit
    Accessible.ignored: true
}
