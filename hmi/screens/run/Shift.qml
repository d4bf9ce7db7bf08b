import QtQuick
import QtQuick.Layouts
import Firstshift
import "../../kit"

// Counters and yield of the shift.
Card {
    id: card

    required property var view

    pad: 2 * Theme.mm
    title: card.view.figures.since

    Column {
        width: parent.width
        spacing: 1 * Theme.mm

        RowLayout {
            width: parent.width
            spacing: 2 * Theme.mm
            uniformCellSizes: true

            Field {
                Layout.fillWidth: true
                Layout.preferredWidth: 1
                caption: qsTr("Parts")
                value: card.view.figures.parts
            }
            Field {
                Layout.fillWidth: true
                Layout.preferredWidth: 1
                caption: qsTr("Rejected")
                value: card.view.figures.rejected
            }
            Field {
                Layout.fillWidth: true
                Layout.preferredWidth: 1
                caption: qsTr("Yield")
                value: card.view.figures.share
            }
        }
        Label {
            width: parent.width
            text: card.view.figures.interval
            size: Theme.small
            muted: true
        }
    }
}
