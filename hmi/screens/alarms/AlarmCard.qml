import QtQuick
import QtQuick.Layouts
import Firstshift
import "../../kit"

// What is known of the chosen alarm, what to do, and the keys for it.
Item {
    id: card

    required property var view
    readonly property var shown: view.shown
    readonly property var alarm: shown.details ? shown.details : blank
    readonly property var blank: ({ title: "", remedy: "", explains: "", who: "", within: "", text: "", part: "", why: "", can_acknowledge: false, shelved: false, out: false, shelvings: [] })
    signal shelving()

    ColumnLayout {
        anchors.fill: parent
        spacing: Theme.gap

        Rectangle {
            Layout.fillWidth: true
            Layout.fillHeight: true
            color: Theme.card
            radius: Theme.radius
            border.width: Math.max(1, Theme.edge)
            border.color: Theme.line
            clip: true

            Flickable {
                anchors { fill: parent; margins: 3 * Theme.mm }
                contentHeight: said.height
                boundsBehavior: Flickable.StopAtBounds
                clip: true

                Column {
                    id: said
                    width: parent.width
                    spacing: 2 * Theme.mm

                    Label { width: parent.width; horizontalAlignment: Text.AlignLeft; text: card.alarm.title; size: Theme.body; muted: true }
                    Label { width: parent.width; horizontalAlignment: Text.AlignLeft; text: card.alarm.remedy; size: Theme.strong; strong: true }
                    Label { width: parent.width; horizontalAlignment: Text.AlignLeft; text: card.alarm.explains; visible: text !== "" }
                    Label { width: parent.width; horizontalAlignment: Text.AlignLeft; text: qsTr("Mended by: %1, within %2").arg(card.alarm.who).arg(card.alarm.within) }
                    Label { width: parent.width; horizontalAlignment: Text.AlignLeft; text: qsTr("Part %1").arg(card.alarm.part); visible: card.alarm.part !== "" }
                    Label { width: parent.width; horizontalAlignment: Text.AlignLeft; text: card.alarm.text; visible: text !== ""; size: Theme.small }
                    Label { width: parent.width; horizontalAlignment: Text.AlignLeft; text: card.alarm.why; size: Theme.small; muted: true }
                }
            }
        }
        PushButton {
            Layout.fillWidth: true
            primary: true
            visible: !card.alarm.shelved && !card.alarm.out
            icon: "tick"
            text: qsTr("Acknowledge")
            enabled: card.shown.may_acknowledge && card.alarm.can_acknowledge
            reason: !card.alarm.can_acknowledge ? qsTr("Has been seen") : qsTr("Not your right")
            bound: card.shown.chosen
            onActed: key => card.view.do("acknowledged", key)
        }
        RowLayout {
            Layout.fillWidth: true
            spacing: Theme.gap
            uniformCellSizes: true

            PushButton {
                Layout.fillWidth: true
                Layout.preferredWidth: 1
                icon: "clock"
                text: card.alarm.shelved ? qsTr("Take back") : qsTr("Shelve")
                enabled: card.shown.may_shelve && !card.alarm.out && (card.alarm.shelved || card.alarm.shelvings.length > 0)
                reason: !card.shown.may_shelve ? qsTr("Not your right") : qsTr("Too urgent")
                bound: card.shown.chosen
                onActed: key => card.alarm.shelved ? card.view.do("unshelved", key) : card.shelving()
            }
            PushButton {
                Layout.fillWidth: true
                Layout.preferredWidth: 1
                icon: "wrench"
                text: card.alarm.out ? qsTr("Back in service") : qsTr("Out of service")
                enabled: card.shown.may_take_out
                reason: qsTr("Maintenance only")
                bound: card.shown.chosen
                onActed: key => card.view.do(card.alarm.out ? "in_service" : "out_of_service", key)
            }
        }
    }
}
