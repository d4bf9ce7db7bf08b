import QtQuick
import QtQuick.Layouts
import QtQuick.Window
import Firstshift
import "kit"

// Rail at the left over the whole height, header and banners above the screen that is shown.
Window {
    id: window

    required property var shell
    readonly property alias host: host

    title: "firstshift"
    color: Theme.ground
    visible: false

    Item {
        id: root
        anchors.fill: parent
        LayoutMirroring.enabled: Words.rtl
        LayoutMirroring.childrenInherit: true

        Rectangle {
            id: rail
            anchors { left: parent.left; top: parent.top; bottom: parent.bottom }
            width: 28 * Theme.mm
            color: Theme.panel

            ColumnLayout {
                anchors { fill: parent; margins: 2 * Theme.mm; topMargin: 1.4 * Theme.mm; bottomMargin: 1.4 * Theme.mm }
                spacing: Theme.gap
                uniformCellSizes: true

                Repeater {
                    model: window.shell.rail

                    PushButton {
                        required property var modelData
                        Layout.fillWidth: true
                        Layout.fillHeight: true
                        Layout.minimumHeight: Theme.target
                        Layout.preferredHeight: Theme.target
                        upright: true
                        inset: 0.5 * Theme.mm
                        text: modelData.title
                        icon: modelData.icon
                        textSize: Theme.small
                        enabled: modelData.enabled
                        chosen: modelData.name === window.shell.current
                        bound: modelData.name
                        Accessible.role: Accessible.PageTab
                        onActed: name => window.shell.go(name)
                    }
                }
            }
        }
        Rectangle {
            id: head
            anchors { left: rail.right; right: parent.right; top: parent.top }
            height: 18 * Theme.mm
            color: Theme.panel

            RowLayout {
                anchors { fill: parent; leftMargin: 2 * Theme.mm; rightMargin: 1 * Theme.mm }
                spacing: Theme.gap

                HeadField {
                    Layout.preferredWidth: 26
                    caption: window.shell.header.clock
                    value: window.shell.header.station
                }
                HeadField {
                    Layout.preferredWidth: 34
                    caption: window.shell.header.model
                    value: window.shell.header.recipe
                }
                HeadField {
                    Layout.preferredWidth: 32
                    caption: window.shell.header.stale ? qsTr("line silent %1").arg(window.shell.header.age) : window.shell.header.share
                    value: window.shell.header.shift
                    stale: window.shell.header.stale
                }
                HeadField {
                    Layout.preferredWidth: 26
                    caption: qsTr("To review")
                    value: window.shell.header.review + (window.shell.header.unknown === "" ? "" : " \u00b7 " + window.shell.header.unknown)
                }
                PushButton {
                    Layout.preferredWidth: 52 * Theme.mm
                    Layout.preferredHeight: Theme.target
                    inset: 1 * Theme.mm
                    text: (window.shell.alarm.count > 0 ? Words.figure(window.shell.alarm.count, 0) + "  " : "") + window.shell.alarm.text
                    textSize: window.shell.alarm.tone === "" ? Theme.body : Theme.small
                    icon: window.shell.alarm.icon
                    tone: window.shell.alarm.tone
                    onActed: window.shell.go("alarms")
                }
                PushButton {
                    Layout.preferredWidth: 36 * Theme.mm
                    Layout.preferredHeight: Theme.target
                    inset: 1 * Theme.mm
                    text: window.shell.header.person
                    textSize: Theme.small
                    icon: window.shell.header.locked ? "lock" : "person"
                    onActed: person.open = true
                }
            }
        }
        Column {
            id: banners
            anchors { left: rail.right; right: parent.right; top: head.bottom }

            Repeater {
                model: window.shell.banners

                Banner {
                    required property var modelData
                    width: banners.width
                    kind: modelData.kind
                    icon: modelData.icon
                    text: modelData.text
                }
            }
        }
        Item {
            id: host
            anchors { left: rail.right; right: parent.right; top: banners.bottom; bottom: parent.bottom; margins: 2 * Theme.mm }
        }
        Sheet {
            id: person
            title: window.shell.header.person

            ColumnLayout {
                width: person.innerWidth
                spacing: Theme.gap

                RowLayout {
                    Layout.fillWidth: true
                    spacing: Theme.gap
                    uniformCellSizes: true

                    PushButton {
                        Layout.fillWidth: true
                        Layout.preferredWidth: 1
                        primary: true
                        text: window.shell.header.signed ? qsTr("Another person") : qsTr("Sign in")
                        icon: "people"
                        onActed: {
                            person.open = false;
                            window.shell.go("sign_in");
                        }
                    }
                    PushButton {
                        Layout.fillWidth: true
                        Layout.preferredWidth: 1
                        primary: true
                        enabled: window.shell.header.signed
                        text: qsTr("Lock")
                        icon: "lock"
                        onActed: {
                            person.open = false;
                            window.shell.lock();
                        }
                    }
                    PushButton {
                        Layout.fillWidth: true
                        Layout.preferredWidth: 1
                        primary: true
                        enabled: window.shell.header.signed || window.shell.header.locked
                        text: qsTr("Sign out")
                        icon: "exit"
                        onActed: {
                            person.open = false;
                            window.shell.signOut();
                        }
                    }
                }
                Tabs {
                    Layout.fillWidth: true
                    items: window.shell.languages
                    current: Words.language
                    onChosen: name => window.shell.speak(name)
                }
                RowLayout {
                    Layout.fillWidth: true
                    spacing: Theme.gap
                    uniformCellSizes: true

                    PushButton {
                        Layout.fillWidth: true
                        Layout.preferredWidth: 1
                        text: qsTr("Light")
                        icon: "light"
                        chosen: !Theme.dark
                        onActed: window.shell.darken(false)
                    }
                    PushButton {
                        Layout.fillWidth: true
                        Layout.preferredWidth: 1
                        text: qsTr("Dark")
                        icon: "dark"
                        chosen: Theme.dark
                        onActed: window.shell.darken(true)
                    }
                }
            }
        }
    }
}
