// purecloud-platform-client-v2 as a test plan uses it: one POST and one GET. argv = connect|gateway, HOST:PORT of the proxy.
const { HttpsProxyAgent } = require("https-proxy-agent");
const sdk = require("purecloud-platform-client-v2");

const [way, address] = process.argv.slice(2);
const client = sdk.ApiClient.instance;
client.setEnvironment("mypurecloud.com");
client.setAccessToken("Zs3kf0aQ8nB1xY7uW5tR2pL9mC4vD6eH");
if (way === "connect") {
  client.setProxyAgent(new HttpsProxyAgent(`http://${address}`));
} else {
  client.setGateway({ host: "localhost", port: Number(address.split(":")[1]), protocol: "https" });
}

(async () => {
  const channel = await new sdk.NotificationsApi().postNotificationsChannels();
  const script = await new sdk.ScriptsApi().getScript("6f9619ff-8b86-4d01-b42d-00cf4fc964ff");
  console.log(channel.id, script.id);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
