# Every text of the wizard and the dashboard, in English.

product = Halcyon
step = step { $number } of { $count }
keys-set-up = Tab next   Enter go on   Esc back   1-9 choose   Ctrl-L repaint
keys-trial = Tab next   Enter do it   Ctrl-L repaint
keys-dashboard = c command line   Ctrl-L repaint   Ctrl-T line drawing
keys-dashboard-menu = m menu   c command line   Ctrl-L repaint   Ctrl-T line drawing
keys-menu = 1-8 choose   Enter do it   Esc back   Ctrl-L repaint

button-continue = Continue
button-back = Back
button-try = Try it for { $seconds } seconds
button-keep = Keep it
button-undo = Undo it
button-take-over = Go on here
button-command-line = Command line
button-menu = Menu
button-unlock = Go on
button-do-it = Do it

unlock-title = Password
unlock-text = What is behind this is for who knows the admin password of this box. Guessing takes longer and longer.
field-unlock = Admin password

menu-title = Menu
menu-change = Change the configuration
menu-change-more = the same questions, with the answers that are in force
menu-hand-over = Hand over
menu-hand-over-more = the other box becomes master of what this one is master of
menu-release = Take over again
menu-release-more = this box may become master again after it handed over
menu-roll-back = Go back
menu-roll-back-more = the configuration before this one is in force again
menu-reboot = Start again
menu-reboot-more = the box hands over, stops everything in order, and starts anew
menu-power-off = Switch off
menu-power-off-more = the box hands over, stops everything in order, and switches itself off
menu-command-line = Command line
menu-command-line-more = logs, the kernel's table, volumes, keys; "dashboard" comes back here
menu-lock = Lock
menu-lock-more = ask for the password again; that happens by itself when nobody types
sure-title = Is that meant?

password-title = Admin password
password-text = Who knows it can change this box at its consoles. There is no default, and nobody can tell it again. Left empty, consoles only show what the box does, and changes come by volume.
field-password = Password
field-password-again = The same again
password-too-weak = too weak
password-weak = weak
password-fair = fair
password-good = good
password-refused = it can be guessed; take 8 characters or more that do not repeat
password-differs = the two are not the same

waiting-title = Starting
waiting-text = The engine does not answer yet. This page changes by itself.

elsewhere-title = Somebody is setting this box up
elsewhere-text = The questions are being answered at { $terminal }. What was typed there is kept, and can be gone on with here.

welcome-title = Set up this box
welcome-text = This box has no configuration. Each answer is checked, and the result is shown before anything changes. What you typed stays until power-off.
field-way = The configuration comes from
way-here = these questions
way-volume = a volume
way-volume-more = a USB stick with the FAT label HALCYON and a signed document: plug it in, it is taken by itself
way-line = the command line
way-line-more = halctl's verbs; "dashboard" comes back here

this-box-title = This box
this-box-text = Names are for people; the box's becomes its host name. The port is the one that clients are on.
field-site = Site
field-name = This box's name
field-port = Port
port-none = no network port is known: its driver may be missing
port-cable = cable
port-no-cable = no cable
port-speed = { $speed } Mbit/s

network-title = This box's address
network-text = An address of this box alone, not the shared one, with the length of its subnet's prefix. The gateway may stay empty.
field-address = Address/prefix
field-gateway = Gateway

role-title = What the boxes do
role-text = Two boxes work together. One of them at a time answers for the shared address.
field-role = The boxes
role-both = balance and serve
role-both-more = both run the service; what one balances, the other serves, too
role-both-drawing-1 = clients ──▶ shared address ──┬──▶ this box: balances and serves
role-both-drawing-2 = {"                             "}└──▶ other box: stands by and serves
role-directors = balance for others
role-directors-more = both balance, servers elsewhere serve
role-directors-drawing-1 = clients ──▶ shared address ──▶ one of the boxes ──┬──▶ a server
role-directors-drawing-2 = {"                                                  "}└──▶ a server
role-server = this one serves
role-server-more = the other box balances; this one only serves
role-server-drawing-1 = clients ──▶ shared address ──▶ other box ──▶ this box: serves

peer-title = The other box
peer-text = It need not be there yet. Its MAC is printed on its port, and shown by its own wizard.
field-peer-name = Its name
field-peer-mac = Its port's MAC
field-peer-address = Its address/prefix
field-preferred = Master, if both can
preferred-this = this box
preferred-peer = the other

virtual-title = The shared address
virtual-text = Clients use this address; it moves to the other box when this one fails. The id tells it from other VRRP routers on the segment.
field-vip = Shared address/prefix
field-vrid = Router id (1-255)
field-version = VRRP version
version-3 = 3
version-2 = 2
field-interval = Told each

service-title = The service
service-text = What arrives at the shared address and port is balanced.
field-preset = Kind
preset-socket = socket service on both
preset-mysql = MySQL, primary and standby
preset-web = web
preset-none = none for now
field-service = Name
field-service-port = Port
field-protocol = Protocol
protocol-tcp = tcp
protocol-udp = udp
field-scheduler = Scheduler
scheduler-rr = rr
scheduler-wrr = wrr
scheduler-lc = lc
scheduler-wlc = wlc
scheduler-sh = sh
scheduler-mh = mh
scheduler-fo = fo
field-persistence = Same server for
field-check = Check
check-tcp = tcp connection
check-none = none
field-weight-here = This box's weight
field-weight-peer = The other's weight
field-servers = Servers' addresses

storm-title = No packet goes in circles
storm-text = Two boxes that balance and serve could hand packets to each other for ever. Both ways below prevent that.
field-storm = How
storm-weights = both balance what they get
storm-weights-more = what the other box forwarded is served here, never balanced again
storm-standby = only the master balances
storm-standby-more = the other one waits, and pings it
storm-proved = Checked: every packet of every service was walked through the plans of both boxes. None passes between them twice.
storm-unknown = It is checked once the answers before are complete.

review-title = Look at it
review-text = This is the whole configuration; both boxes get the same.
review-change-text = This is what changes in the configuration: - before, + after.
review-complaints = { $count } to mend first; Enter goes there:

trial-title = Being tried
trial-text = The configuration is in force. Without your word it is undone by itself: the box goes back to what it was.
trial-left = { $seconds } seconds left
trial-other = It was begun elsewhere, and is kept or undone there.

dashboard-title = { $member } of { $cluster }
dashboard-unbound-title = Not a member
dashboard-document = document revision { $revision }, generation { $generation }, slot { $slot }, up { $uptime }
dashboard-vrrp = Shared addresses
dashboard-vrrp-row = { $state } of { $id } on { $interface }, priority { $priority }, for { $since }
dashboard-services = Services
dashboard-service-row = { $name }: { $protocol } { $endpoint }, { $scheduler }
dashboard-server-row = { $name } at { $endpoint }, weight { $weight }, { $health }
dashboard-guard = Guard
dashboard-guard-row = { $delivered } packets of fellow directors served here, { $dropped } stopped from going back
dashboard-links = Ports
dashboard-kernel-differs = The kernel does not hold yet what the plan wants.
dashboard-alarms = Alarms
