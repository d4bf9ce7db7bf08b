import QtQuick
import QtQuick.Layouts
import Firstshift
import "../../kit"

// Start and stop, and what releases a stopped line; a release needs its reason.
Sheet {
    id: sheet

    required property var view
    property string why

    title: qsTr("Line") + ": " + sheet.view.line.mode
    sheetWidth: Math.min(parent.width - 2 * Theme.gap, 170 * Theme.mm)
    onOpenChanged: why = ""

    Column {
        width: sheet.innerWidth
        spacing: Theme.gap

        Repeater {
            model: sheet.open ? sheet.view.notices.slice(0, 4) : []

            Label {
                required property var modelData
                width: sheet.innerWidth
                text: modelData.text
                strong: modelData.kind === "alarm"
            }
        }
        Banner {
            visible: text !== ""
            width: parent.width
            text: sheet.view.line.message
        }
        RowLayout {
            width: parent.width
            spacing: Theme.gap
            uniformCellSizes: true

            PushButton {
                Layout.fillWidth: true
                Layout.preferredWidth: 1
                primary: true
                text: qsTr("Start")
                icon: "play"
                enabled: sheet.view.line.start && sheet.view.line.mayRun
                reason: sheet.view.line.mayRun ? "" : qsTr("You may not do this")
                onActed: sheet.view.start()
            }
            PushButton {
                Layout.fillWidth: true
                Layout.preferredWidth: 1
                primary: true
                text: qsTr("Stop")
                icon: "stop"
                enabled: sheet.view.line.stop && sheet.view.line.mayRun
                reason: sheet.view.line.mayRun ? "" : qsTr("You may not do this")
                onActed: sheet.view.stop()
            }
        }
        Label {
            visible: sheet.view.line.purge || sheet.view.line.reset
            width: parent.width
            text: sheet.view.line.purge ? qsTr("Parts and gate no longer agree. Take every part off the belt, choose the reason, then say so.") : qsTr("To release what is latched, choose the reason first.")
        }
        Tabs {
            visible: sheet.view.line.purge || sheet.view.line.reset
            width: parent.width
            items: sheet.view.line.purge ? sheet.view.line.whyPurged : sheet.view.line.whyReset
            current: sheet.why
            onChosen: name => sheet.why = name
        }
        PushButton {
            visible: sheet.view.line.purge
            width: parent.width
            primary: true
            text: qsTr("The belt is empty")
            icon: "check-list"
            enabled: sheet.why !== "" && sheet.view.line.mayRun
            reason: sheet.view.line.mayRun ? qsTr("Choose the reason") : qsTr("You may not do this")
            onActed: {
                sheet.view.purged(sheet.why);
                sheet.why = "";
            }
        }
        PushButton {
            visible: sheet.view.line.reset
            width: parent.width
            primary: true
            text: qsTr("Reset the fault")
            icon: "reset"
            enabled: sheet.why !== "" && sheet.view.line.mayReset
            reason: sheet.view.line.mayReset ? qsTr("Choose the reason") : qsTr("You may not do this")
            onActed: {
                sheet.view.reset(sheet.why);
                sheet.why = "";
            }
        }
    }
}
