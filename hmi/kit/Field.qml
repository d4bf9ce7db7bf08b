import QtQuick
import Firstshift

// A caption over its value, as wide as they are unless told otherwise.
Column {
    id: field

    property string caption
    property string value
    property bool muted: false
    property real size: Theme.body

    width: Math.ceil(Math.max(above.implicitWidth, below.implicitWidth))
    spacing: 0.2 * Theme.mm

    Label {
        id: above
        width: field.width
        text: field.caption
        size: Theme.small
        muted: true
    }
    Label {
        id: below
        width: field.width
        text: field.value
        size: field.size
        strong: true
        muted: field.muted
    }
}
