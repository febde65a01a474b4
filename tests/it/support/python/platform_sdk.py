"""PureCloudPlatformClientV2 as a test plan uses it: one POST and one GET. argv = connect|gateway, HOST:PORT, CA file."""
import sys

import PureCloudPlatformClientV2 as sdk
from PureCloudPlatformClientV2.gateway_configuration import GatewayConfiguration

way, address, ca = sys.argv[1:4]
configuration = sdk.configuration
configuration.access_token = "Zs3kf0aQ8nB1xY7uW5tR2pL9mC4vD6eH"
configuration.ssl_ca_cert = ca
if way == "connect":
    configuration.host = "https://api.mypurecloud.com"
    configuration.proxy = f"http://{address}"
else:
    port = int(address.split(":")[1])
    configuration.gateway_configuration = GatewayConfiguration(host="localhost", protocol="https", port=port)
channel = sdk.NotificationsApi().post_notifications_channels()
script = sdk.ScriptsApi().get_script("6f9619ff-8b86-4d01-b42d-00cf4fc964ff")
print(channel.id, script.id)
